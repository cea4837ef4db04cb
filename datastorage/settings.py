"""The settings of DataStorage and how they are read: file over default, environment over file.

A variable is `DATASTORAGE_<GROUP>_<KEY>`. Where the database is, is said either by `database.url` or by its parts;
a URL in the environment replaces the parts in the file.
"""

# ruff: noqa: RUF009 -- a key declares its kind and its reason where its default stands
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from models.audit_fields import PAST_WINDOW
from models.audit_months import FOR_EVER, SHORTEST_DAYS, Keep, read_keep
from models.errors import Misconfigured
from models.setting_kinds import ChoiceKind, DurationKind, FlagKind, Kind, TextKind, UrlKind, WholeKind

T = TypeVar("T")

PREFIX = "DATASTORAGE_"
_LINE = r"[^\x00-\x1f]{1,4096}"
# SQLite in memory is refused: each connection would see a database of its own.
_URL = r"(sqlite:///(?!:memory:)|postgresql://)[^\s]{1,4096}"
_URL_FORMS = "sqlite:///FILE or postgresql://HOST[:PORT]/NAME"
_NAME = r"(?!:memory:)" + _LINE
_SECOND = timedelta(seconds=1)
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Driver(StrEnum):
    """The databases that DataStorage speaks."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


def _key(default: T, kind: Kind[T], why: str, *, shown: bool = True) -> T:
    declared: T = field(default=default, metadata={"kind": kind, "why": why}, repr=shown)
    return declared


def _span(low: timedelta, high: timedelta) -> DurationKind:
    return DurationKind(low, high)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the service listens."""

    host: str = _key("127.0.0.1", TextKind("a host name or an address", r"[A-Za-z0-9._:-]{1,253}"), "loopback only")
    port: int = _key(8080, WholeKind(0, 65535), "0 takes a free one and says which")
    unix_socket: str = _key("", TextKind("a path"), "a socket for this user alone, instead of host and port")
    tls_certificate_file: str = _key("", TextKind("a path"), "PEM, the service's own first; read again as it changes")
    tls_key_file: str = _key("", TextKind("a path"), "its key in PEM, without a password; read again as it changes")
    token_file: str = _key(
        "", TextKind("a path"), "lines of NAME, RIGHTS (read, write, hold; commas between) and TOKEN"
    )
    allow_unauthenticated: bool = _key(False, FlagKind(), "ask nobody for a token; on loopback only")
    past_window: timedelta = _key(
        PAST_WINDOW, _span(PAST_WINDOW, 3650 * timedelta(days=1)), "how old an event may be; more lets in what waited"
    )
    shutdown_timeout: timedelta = _key(30 * _SECOND, _span(_SECOND, 600 * _SECOND), "for accepted requests to finish")


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Where the database is and how long it may take."""

    url: str = _key("", TextKind(_URL_FORMS, _URL), "instead of the five parts below", shown=False)
    driver: Driver = _key(Driver.SQLITE, ChoiceKind(Driver), "embedded unless said otherwise")
    host: str = _key("127.0.0.1", TextKind("a host name, an address or a socket directory", _LINE), "PostgreSQL only")
    port: int = _key(5432, WholeKind(1, 65535), "PostgreSQL only")
    name: str = _key(
        "datastorage.db", TextKind("a database name, for SQLite a file", _NAME), "in the working directory"
    )
    user: str = _key("", TextKind("a user name"), "PostgreSQL only; a secret file's username wins")
    secret_file: str = _key("", TextKind("a path"), "YAML with the keys username and password")
    pool_size: int = _key(10, WholeKind(1, 200), "connections that do work; two more answer health checks")
    statement_timeout: timedelta = _key(10 * _SECOND, _span(_SECOND / 10, 600 * _SECOND), "then 503")
    lock_timeout: timedelta = _key(5 * _SECOND, _span(_SECOND / 10, 600 * _SECOND), "then 503")
    connect_deadline: timedelta = _key(60 * _SECOND, _span(_SECOND / 10, 3600 * _SECOND), "waiting at start")


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """How the ends of the chains are signed; without a key they are not."""

    key_file: str = _key("", TextKind("a path"), "an Ed25519 private key in PEM: `datastorage keygen FILE`")
    trusted_keys_file: str = _key("", TextKind("a path"), "public keys in PEM that signed before this one")
    interval: timedelta = _key(300 * _SECOND, _span(_SECOND, 86400 * _SECOND), "what came later is not signed yet")
    anchor_file: str = _key("", TextKind("a path"), "each checkpoint is added to it; best on another volume")


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """How the API server of a cluster is asked who a token stands for."""

    token_review: bool = _key(False, FlagKind(), "know callers by their tokens of the cluster")
    audience: str = _key(
        "datastorage", TextKind("a name without blanks", r"\S{1,253}"), "whom tokens must be meant for"
    )
    namespace: str = _key(
        "kubernaut-system",
        TextKind("the name of a namespace", r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
        "where rights over auditevents.kubernaut.ai are given",
    )
    cache_time: timedelta = _key(10 * _SECOND, _span(timedelta(0), 60 * _SECOND), "how long what was allowed holds")
    api_server: str = _key("https://kubernetes.default.svc", UrlKind(("https",)), "as a pod reaches it")
    ca_file: str = _key(f"{_ACCOUNT}/ca.crt", TextKind("a path", _LINE), "read at each question")
    token_file: str = _key(f"{_ACCOUNT}/token", TextKind("a path", _LINE), "our own, read at each question")
    timeout: timedelta = _key(5 * _SECOND, _span(_SECOND / 10, 60 * _SECOND), "for an answer; then 503")


@dataclass(frozen=True, slots=True)
class _KeepKind:
    """How long events are kept."""

    @property
    def allowed(self) -> str:
        return f"a time such as 90d or 7y, {SHORTEST_DAYS}d or longer; empty: for ever"

    def read(self, value: object) -> Keep:
        if not isinstance(value, str):
            raise ValueError("not a text")
        return read_keep(value)


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """What is removed; without a time nothing ever is."""

    keep: Keep = _key(FOR_EVER, _KeepKind(), "a month goes when all of it is older; needs checkpoint.key_file")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the operator can say. `password` comes from the secret file alone and never shows."""

    server: ServerSettings
    database: DatabaseSettings
    checkpoint: CheckpointSettings = CheckpointSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    retention: RetentionSettings = RetentionSettings()
    username: str = ""
    password: str = field(default="", repr=False)


_GROUPS: Mapping[str, type[Any]] = {
    "server": ServerSettings,
    "database": DatabaseSettings,
    "checkpoint": CheckpointSettings,
    "kubernetes": KubernetesSettings,
    "retention": RetentionSettings,
}
_KINDS: Mapping[str, Kind[Any]] = {
    f"{group}.{declared.name}": declared.metadata["kind"]
    for group, shape in _GROUPS.items()
    for declared in fields(shape)
}
_VARIABLES: Mapping[str, str] = {PREFIX + name.replace(".", "_").upper(): name for name in _KINDS}
_PARTS = ("driver", "host", "port", "name", "user")


def parse_settings(document: object, environ: Mapping[str, str], secret: Mapping[str, str]) -> Settings:
    """Build the settings from a parsed file, an environment and a secret file's keys.

    Raises:
        Misconfigured: one line with the key, its value and what is allowed.
    """
    in_file, in_environment = _from_document(document), _from_environment(environ)
    if "database.url" in in_environment:
        in_file = {
            name: value for name, value in in_file.items() if name not in {f"database.{part}" for part in _PARTS}
        }
    given = {**in_file, **in_environment}
    parts = [f"database.{part}" for part in _PARTS if f"database.{part}" in given]
    if given.get("database.url") and parts:
        raise Misconfigured(f"{parts[0]}={given[parts[0]]}: allowed only without database.url")
    read: dict[str, dict[str, object]] = {group: {} for group in _GROUPS}
    for name, value in given.items():
        group, _, key = name.partition(".")
        read[group][key] = _read(name, value)
    settings = Settings(
        ServerSettings(**read["server"]),  # type: ignore[arg-type]
        DatabaseSettings(**read["database"]),  # type: ignore[arg-type]
        CheckpointSettings(**read["checkpoint"]),  # type: ignore[arg-type]
        KubernetesSettings(**read["kubernetes"]),  # type: ignore[arg-type]
        RetentionSettings(**read["retention"]),  # type: ignore[arg-type]
        secret.get("username", ""),
        secret.get("password", ""),
    )
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Check what one key alone cannot say."""
    server, keep = settings.server, settings.retention.keep
    if keep and not settings.checkpoint.key_file:
        raise Misconfigured(f"retention.keep={keep}: allowed only with checkpoint.key_file, which signs for it")
    pair = {"server.tls_certificate_file": server.tls_certificate_file, "server.tls_key_file": server.tls_key_file}
    missing = [name for name, path in pair.items() if not path]
    for name, path in pair.items():
        if path and missing:
            raise Misconfigured(f"{name}={path}: allowed only with {missing[0]}")
        if path and server.unix_socket:
            raise Misconfigured(f"{name}={path}: allowed only without server.unix_socket")


def _from_document(document: object) -> dict[str, object]:
    given: dict[str, object] = {}
    for group, keys in _mapping("configuration file", document).items():
        if not isinstance(group, str) or group not in _GROUPS:
            raise Misconfigured(f"{_cut(group)}: unknown group{_nearest(str(group), _GROUPS, ', '.join(_GROUPS))}")
        for key, value in _mapping(group, keys).items():
            name = f"{group}.{key}"
            if name not in _KINDS:
                raise Misconfigured(
                    f"{name}={_shown(name, value)}: unknown key{_nearest(name, _KINDS, _keys_of(group))}"
                )
            given[name] = value
    return given


def _mapping(name: str, value: object) -> Mapping[object, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Misconfigured(f"{name}={_cut(value)!r}: allowed is a group of keys")
    return value


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    given: dict[str, object] = {}
    for variable, value in environ.items():
        group = variable.removeprefix(PREFIX).partition("_")[0].lower()
        if variable in _VARIABLES:
            given[_VARIABLES[variable]] = value
        elif variable.startswith(PREFIX) and group in _GROUPS:
            # Other groups are not ours: Kubernetes itself sets DATASTORAGE_SERVICE_HOST and the like.
            shown = _shown(variable, value)
            raise Misconfigured(f"{variable}={shown}: unknown key{_nearest(variable, _VARIABLES, _keys_of(group))}")
    return given


def _nearest(name: str, known: Iterable[str], allowed: str) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else f"; allowed are {allowed}"


def _keys_of(group: str) -> str:
    return ", ".join(declared.name for declared in fields(_GROUPS[group]))


def _read(name: str, value: object) -> object:
    kind = _KINDS[name]
    try:
        return kind.read(value)
    except (ValueError, TypeError, OverflowError):
        # Not chained: the cause may quote a value that must not be shown.
        raise Misconfigured(f"{name}={_shown(name, value)}: allowed is {kind.allowed}") from None


def _shown(name: str, value: object) -> str:
    if re.search(r"pass|secret", name, re.IGNORECASE):
        return "***"
    return _cut(re.sub(r"//[^/]*@", "//***@", _text(value)))


def _cut(value: object) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in _text(value)[:80])


def _text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # a number of more digits than Python writes
        return "a number of thousands of digits"
