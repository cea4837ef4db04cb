"""The Celery settings that a known defect of Celery, of its Redis transport or of Flower hangs on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import Celery

from beat_schedule import SCHEDULE
from models.errors import Misconfigured
from models.settings import parse_settings
from tasks.app import EVENTS, RESYNC, TIMERS, build_app
from tasks.options import given_config

PASSWORD = "correct-horse"


def app(**groups: object) -> Celery:
    secrets = {"redis.username": "worker", "redis.password": PASSWORD}
    return build_app(parse_settings(groups, {}, secrets))


def test_worker_that_dies_gives_its_message_back_and_poison_is_not_repeated() -> None:
    conf = app().conf
    assert conf.task_acks_late
    assert not conf.task_reject_on_worker_lost
    assert not conf.worker_cancel_long_running_tasks_on_connection_loss


def test_pool_is_threads_so_that_nothing_is_shared_across_a_fork() -> None:
    assert app().conf.worker_pool == "threads"


def test_frozen_redis_blocks_no_publish_for_longer_than_its_timeout() -> None:
    options = app(redis={"socket_timeout": "3s"}).conf.broker_transport_options
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 3


def test_visibility_timeout_below_the_longest_wait_is_refused() -> None:
    with pytest.raises(Misconfigured, match="visibility_timeout"):
        app(celery={"visibility_timeout": "30s"})
    conf = app().conf
    longest = conf.wfe.celery.horizon + conf.wfe.celery.longest_task
    assert timedelta(seconds=conf.broker_transport_options["visibility_timeout"]) > longest


def test_there_are_queues_and_no_priorities() -> None:
    conf = app().conf
    assert {EVENTS, TIMERS, RESYNC} <= {queue.name for queue in conf.task_queues}
    assert conf.task_queue_max_priority is None
    assert not any("priority" in tick["options"] for tick in SCHEDULE.values())


def test_only_json_and_no_remote_control() -> None:
    conf = app().conf
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert not conf.worker_enable_remote_control


def test_beat_keeps_no_schedule_in_redis_and_ticks_do_not_pile_up() -> None:
    conf = app().conf
    assert conf.beat_scheduler == "celery.beat:Scheduler"
    assert all(tick["options"]["expires"] <= tick["schedule"] for tick in SCHEDULE.values())


def test_password_of_redis_shows_nowhere_but_in_the_url_that_connects() -> None:
    celery = app()
    assert PASSWORD not in repr(celery.conf.wfe)
    assert PASSWORD not in celery.connection_for_write().as_uri()


def test_task_events_are_on_and_a_setting_turns_them_off() -> None:
    assert app().conf.worker_send_task_events is True
    assert app(celery={"task_events": False}).conf.worker_send_task_events is False


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (("/venv/bin/celery", "-A", "tasks", "worker", "--config", "a.yaml"), "a.yaml"),
        (("/lib/celery/__main__.py", "-A", "tasks", "beat", "-l", "INFO", "--config=b.yaml"), "b.yaml"),
        (("celery", "-A", "tasks", "worker", "--config", "a.yaml", "--config", "c.yaml"), "c.yaml"),
        (("celery", "-A", "tasks", "--config", "module", "worker"), None),
        (("celery", "-A", "tasks", "worker", "--config", "--loglevel"), None),
        (("celery", "-A", "tasks", "flower", "--config", "x"), None),
        (("pytest", "worker", "--config", "x"), None),
        (("celery",), None),
    ],
)
def test_config_file_is_found_in_the_words_of_a_celery_command(words: tuple[str, ...], config: str | None) -> None:
    assert given_config(words) == config
