"""What a process of ours works with, built once from its settings, at first use and never before a fork."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from celery import Celery
from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics

from models.policy import Policy
from models.settings import Settings
from tasks.adapters.cluster import Cluster
from tasks.adapters.datastorage import AuditClient
from tasks.adapters.engines import ClusterRuns
from tasks.adapters.executions import ClusterExecutions
from tasks.adapters.freeze_object import FreezeObject
from tasks.adapters.surroundings import ClusterSurroundings
from tasks.aside import ThreadsAside
from tasks.attending import Attendance
from tasks.claims import Claims
from tasks.config import own_namespace
from tasks.metrics import Metrics
from tasks.ports import Aside, Ports
from tasks.publish import Publisher
from tasks.redis_scripts.connection import connect
from tasks.redis_scripts.hold import Holds
from tasks.redis_scripts.outbox import Outbox
from tasks.redis_scripts.queue import WorkQueue


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one process."""

    settings: Settings
    policy: Policy
    queue: WorkQueue
    claims: Claims
    holds: Holds
    attendance: Attendance
    outbox: Outbox
    publisher: Publisher
    executions: ClusterExecutions
    runs: ClusterRuns
    audit: AuditClient
    metrics: Metrics
    surroundings: ClusterSurroundings
    freeze: FreezeObject
    aside: Aside

    @property
    def ports(self) -> Ports:
        return Ports(
            self.executions,
            self.runs,
            self.holds,
            self.outbox,
            self.publisher,
            self.metrics,
            self.surroundings,
            self.aside,
        )


def build_parts(settings: Settings, celery: Celery, registry: CollectorRegistry) -> Parts:
    """Build everything a worker needs; connects to nothing yet. Raises Misconfigured."""
    client, prefix = connect(settings.redis), settings.redis.prefix
    kubernetes = settings.kubernetes
    cluster = Cluster.connect(kubernetes.kubeconfig, kubernetes.context, kubernetes.request_timeout)
    home = own_namespace()
    audit = settings.audit
    holds = Holds(client, prefix)
    queue = WorkQueue(client, prefix, horizon=settings.celery.horizon, claim=settings.celery.claim)
    return Parts(
        settings=settings,
        policy=policy_of(settings),
        queue=queue,
        claims=Claims(queue, settings.celery.claim, settings.celery.longest_task),
        holds=holds,
        attendance=Attendance(holds),
        outbox=Outbox(client, prefix),
        publisher=Publisher(celery, queue),
        executions=ClusterExecutions(cluster),
        runs=ClusterRuns(cluster, settings.execution.namespace),
        audit=AuditClient(audit.datastorage_url, audit.timeout, audit.token_file, audit.ca_file),
        metrics=Metrics(registry),
        surroundings=ClusterSurroundings(cluster, home),
        freeze=FreezeObject(cluster, home),
        aside=ThreadsAside(settings.celery.concurrency),
    )


def policy_of(settings: Settings) -> Policy:
    """Return what decisions need of the settings."""
    execution, backoff = settings.execution, settings.backoff
    return Policy(
        namespace=execution.namespace,
        service_account=execution.service_account,
        cooldown=execution.cooldown_period,
        default_timeout=execution.default_timeout,
        cancel_timeout=execution.cancel_timeout,
        concurrency=execution.concurrency_policy,
        block_after_failure=execution.block_after_execution_failure,
        backoff_base=backoff.base_cooldown,
        backoff_cap=backoff.max_cooldown,
        backoff_multiplier=backoff.multiplier,
        backoff_jitter=backoff.jitter,
        max_failures=backoff.max_consecutive_failures,
    )


@cache
def worker_parts() -> Parts:
    """Return the parts of this worker process."""
    from tasks.app import app

    disable_created_metrics()  # type: ignore[no-untyped-call]
    return build_parts(app.conf.wfe, app, REGISTRY)


def draw_jitter() -> float:
    """Draw from [-1, 1]; decisions get it as an argument."""
    return random.uniform(-1, 1)
