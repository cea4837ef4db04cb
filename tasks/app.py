"""The Celery app: a message is a hint, Kubernetes status is the truth.

Threads pool: one process, one Prometheus registry, no fork; every HTTP call has a timeout because a thread cannot be
killed. No result backend, JSON only, arguments are keys. Run it with `celery -A tasks worker [--config FILE]`.
"""

from __future__ import annotations

import sys

from celery import Celery
from kombu.entity import Queue

from beat_schedule import SCHEDULE
from models.settings import Settings
from tasks import broker
from tasks.config import load_or_exit
from tasks.liveness import HeartbeatFile
from tasks.options import given_config, offer_config
from tasks.task_events import EventFlush

EVENTS, TIMERS, RESYNC, AUDIT = "events", "timers", "resync", "audit"
RECONCILE, WAKE = "workflowexecution.reconcile", "workflowexecution.wake"
SWEEP, RESYNC_TASK, FLUSH = "workflowexecution.sweep", "workflowexecution.resync", "audit.flush"


def build_app(settings: Settings) -> Celery:
    """Return the app of a process. The settings travel with it as `app.conf.wfe`."""
    broker.install()
    celery = Celery(
        "kubernaut-executor",
        include=["tasks.reconciling", "tasks.upkeep", "tasks.auditing", "tasks.worker_process"],
        events="tasks.task_events:TaskEvents",
    )
    celery.conf.update(
        broker_url=settings.redis.connection_url(),
        broker_transport_options=_transport(settings),
        broker_connection_retry_on_startup=True,
        # Else a worker ends with 1 when Redis becomes a replica, as in a failover, or takes no more because it is full.
        broker_channel_error_retry=True,
        task_queues=[Queue(name) for name in (EVENTS, TIMERS, AUDIT, RESYNC)],  # type: ignore[no-untyped-call]
        task_default_queue=EVENTS,
        task_routes={
            WAKE: {"queue": TIMERS},
            SWEEP: {"queue": TIMERS},
            RESYNC_TASK: {"queue": RESYNC},
            FLUSH: {"queue": AUDIT},
        },
        task_acks_late=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_pool="threads",
        worker_consumer="tasks.consumer:Consumer",
        worker_concurrency=settings.celery.concurrency,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=settings.celery.task_events,
        task_send_sent_event=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        beat_schedule=SCHEDULE,
        beat_scheduler="celery.beat:Scheduler",
        timezone="UTC",
        wfe=settings,
    )
    celery.steps["consumer"].add(HeartbeatFile)
    celery.steps["consumer"].add(EventFlush)
    offer_config(celery)
    return celery


def _transport(settings: Settings) -> dict[str, object]:
    seconds = settings.redis.socket_timeout.total_seconds()
    return {
        "global_keyprefix": f"{settings.redis.prefix}:celery:",
        "visibility_timeout": int(settings.celery.visibility_timeout.total_seconds()),
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "socket_keepalive": True,
    }


app = build_app(load_or_exit(given_config(sys.argv)))
