"""Every setting of the executor, each in one typed place with its bounds, its default and its reason.

Reading them is models/settings.py. Durations are `timedelta`; an attribute carries no unit in its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from models.execution import ConcurrencyPolicy
from models.setting_kinds import (
    Address,
    AddressKind,
    ChoiceKind,
    DurationKind,
    FlagKind,
    Kind,
    NumberKind,
    Secret,
    SecretKind,
    TextKind,
    UrlKind,
    WholeKind,
)

T = TypeVar("T")

_MS = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*"


def _key(default: T, kind: Kind[T], why: str) -> T:
    """Declare one key; the dataclass field carries its kind and its reason."""
    declared: T = field(default=default, metadata={"kind": kind, "why": why})
    return declared


def _span(low: timedelta, high: timedelta) -> DurationKind:
    return DurationKind(low, high)


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """How an execution is run."""

    namespace: str = _key(
        "kubernaut-workflows",
        TextKind("the name of a namespace (a DNS label, at most 63 characters)", _LABEL),
        "Where runs are created: apart from the executions, so that quota and rights are the operator's.",
    )
    service_account: str = _key(
        "kubernaut-workflow-runner",
        TextKind("the name of a service account (a DNS name)", _SUBDOMAIN),
        "The account every run uses; an execution cannot choose its own rights.",
    )
    cooldown_period: timedelta = _key(
        5 * _MINUTE, _span(timedelta(0), 7 * _DAY), "How long a target rests after an end, before the next run on it."
    )
    default_timeout: timedelta = _key(
        30 * _MINUTE, _span(_SECOND, 7 * _DAY), "The timeout of a run whose execution names none: no run is endless."
    )
    cancel_timeout: timedelta = _key(
        _MINUTE, _span(_SECOND, _DAY), "How long a cancelled run may take to end before it is deleted."
    )
    concurrency_policy: ConcurrencyPolicy = _key(
        ConcurrencyPolicy.WAIT,
        ChoiceKind(ConcurrencyPolicy),
        "What an execution does when its target is busy and it does not say itself.",
    )
    block_after_execution_failure: bool = _key(
        True, FlagKind(), "Hold a target whose run failed half-way until a person has looked at it."
    )


@dataclass(frozen=True, slots=True)
class BackoffSettings:
    """How a failure before any task ran is retried."""

    base_cooldown: timedelta = _key(30 * _SECOND, _span(10 * _MS, _DAY), "The wait after the first failure.")
    max_cooldown: timedelta = _key(15 * _MINUTE, _span(10 * _MS, 7 * _DAY), "The longest wait, jitter included.")
    multiplier: float = _key(2.0, NumberKind(1, 10), "By what the wait grows with each failure.")
    jitter: float = _key(
        0.1, NumberKind(0, 0.5), "The share of the wait that is random, so that retries do not meet; 0 is off."
    )
    max_consecutive_failures: int = _key(
        5,
        WholeKind(1, 30),  # each attempt leaves up to two facts in the status, which holds 64 while DataStorage is away
        "After how many failures in a row the execution is Failed; 1 never retries.",
    )


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """How audit events reach DataStorage."""

    datastorage_url: str = _key(
        "http://datastorage-service:8080", UrlKind(("http", "https")), "Where DataStorage answers."
    )
    timeout: timedelta = _key(10 * _SECOND, _span(100 * _MS, _MINUTE), "The longest wait for one answer.")
    token_file: str = _key(
        "", TextKind("a path, or empty"), "Holds the bearer token for DataStorage; empty: none is sent."
    )
    read_token_file: str = _key(
        "",
        TextKind("a path, or empty"),
        "Holds the token that `wfe` reads the audit with, and sets and lifts holds; empty: that of audit.token_file.",
    )
    ca_file: str = _key(
        "",
        TextKind("a path, or empty"),
        "Authorities (PEM) that the certificate of an https DataStorage may come from; empty: the system's.",
    )
    batch_size: int = _key(500, WholeKind(1, 500), "Events in one request; DataStorage refuses more than 500.")
    flush_interval: timedelta = _key(_SECOND, _span(10 * _MS, _MINUTE), "How long an event waits for company.")

    @property
    def reading_token_file(self) -> str:
        """The file of the token that reads the audit."""
        return self.read_token_file or self.token_file


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What the process shows of itself."""

    metrics_addr: Address = _key(Address("", 9090), AddressKind(), "Where /metrics answers.")
    health_probe_addr: Address = _key(Address("", 8081), AddressKind(), "Where /healthz and /readyz answer.")
    leader_election: bool = _key(True, FlagKind(), "Let one watcher of several be active, by a Lease.")


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where the queue, the holds and the outbox live."""

    url: str = _key("redis://127.0.0.1:6379/0", UrlKind(("redis", "rediss")), "Broker and store; rediss for TLS.")
    prefix: str = _key(
        "wfe",
        TextKind("1 to 32 of a-z, 0-9, - and _", r"[a-z0-9_-]{1,32}"),
        "First part of every Redis key, so that two installations can share a server.",
    )
    socket_timeout: timedelta = _key(
        10 * _SECOND, _span(100 * _MS, _MINUTE), "A frozen Redis blocks a publish for ever without it."
    )
    secret_file: str = _key(
        "",
        TextKind("a path, or empty"),
        "YAML file, or directory of a mounted Secret, with `username` and `password`.",
    )
    username: Secret = _key(Secret(), SecretKind(), "User of Redis.")
    password: Secret = _key(Secret(), SecretKind(), "Password of Redis.")

    def connection_url(self) -> str:
        """Return the URL with user and password in it: for the connecting call only, never for a log."""
        if not (self.username or self.password):
            return self.url
        parts = urlsplit(self.url)
        login = f"{quote(self.username.reveal(), safe='')}:{quote(self.password.reveal(), safe='')}"
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """How the API server is reached."""

    kubeconfig: str = _key(
        "", TextKind("a path, or empty"), "Empty: KUBECONFIG outside a cluster, the pod's own account inside."
    )
    context: str = _key("", TextKind("the name of a context, or empty"), "Empty: the current one of the kubeconfig.")
    request_timeout: timedelta = _key(
        10 * _SECOND, _span(100 * _MS, _MINUTE), "The longest wait for one answer: a thread cannot be killed."
    )


@dataclass(frozen=True, slots=True)
class CelerySettings:
    """How passes are handed to workers."""

    horizon: timedelta = _key(
        _MINUTE, _span(_SECOND, 10 * _MINUTE), "Wakes nearer than this are Celery messages, later ones wait in Redis."
    )
    claim: timedelta = _key(
        6 * _SECOND,
        _span(2 * _SECOND, _MINUTE),
        "How long a pass is believed alive without a sign of life, which its worker gives four times as often; then "
        "another worker takes over. Much less, and a busy machine loses passes that live.",
    )
    longest_task: timedelta = _key(
        2 * _MINUTE,
        _span(_SECOND, _DAY),
        "The longest any task may take: a resync of a large cluster. A pass that takes longer is taken for hung.",
    )
    visibility_timeout: timedelta = _key(
        10 * _MINUTE,
        _span(_SECOND, 7 * _DAY),
        "When Redis gives an unacknowledged message to another worker; too short, and a long task runs twice.",
    )
    task_events: bool = _key(True, FlagKind(), "Celery events for Flower; they cost throughput.")
    heartbeat_file: str = _key(
        "",
        TextKind("a path, or empty"),
        "Where a worker notes that it still asks for messages, for the probe `python -m tasks.alive`; empty: nowhere.",
    )
    concurrency: int = _key(16, WholeKind(1, 256), "Threads of one worker process.")


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups. `sources` says for each key that is not a default where it came from."""

    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    backoff: BackoffSettings = field(default_factory=BackoffSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    celery: CelerySettings = field(default_factory=CelerySettings)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


GROUPS: Mapping[str, Any] = {
    "execution": ExecutionSettings,
    "backoff": BackoffSettings,
    "audit": AuditSettings,
    "controller": ControllerSettings,
    "redis": RedisSettings,
    "kubernetes": KubernetesSettings,
    "celery": CelerySettings,
}
