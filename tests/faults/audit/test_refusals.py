"""What is refused: one bad event alone, with its problem document; who is not let in, visibly and with nothing lost."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from models.audit import event_id
from models.status import FactType
from tests.faults.audit.proxy import Act, Fault, Says, Stage
from tests.faults.audit.stand import Service, Stand, retrying, stand
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WRITER, READER = "w" * 20, "r" * 20


@pytest.fixture(scope="module")
def world(sqlite_stand: Stand) -> Stand:
    return sqlite_stand


def test_only_the_bad_ones_are_set_aside_each_with_its_problem_document(world: Stand) -> None:
    parent = event_id("parent", FactType.RETRYING, 1)
    world.emit("mixed", 20)
    broken = retrying("mixed", 21, event_outcome="perhaps")
    orphan = retrying("mixed", 31, parent_event_id=parent)
    world.append("mixed", [broken])
    world.emit("mixed", 9)
    world.append("mixed", [orphan])
    world.emit("mixed", 9)
    world.turn()
    # Another content under an id that is taken.
    world.outbox.trimmed("mixed")
    world.append("mixed", [retrying("mixed", 3, event_outcome="failure")], again=True)
    taken = event_id("mixed", FactType.RETRYING, 3)
    world.turn()

    aside = {each.event_id: each for each in world.outbox.set_aside()}
    slugs = {each: found.document["type"].rpartition("/")[2] for each, found in aside.items()}
    assert slugs == {
        broken.event_id: "validation-error",
        orphan.event_id: "validation-error",
        taken: "event-conflict",
    }
    assert aside[broken.event_id].document["errors"][0]["field"] == "event_outcome"
    assert aside[orphan.event_id].document["errors"][0]["field"] == "parent_event_id"
    assert world.counted("audit_events_dropped_total") == 3
    assert world.outbox.trouble().failures == 0
    for bad in (broken, orphan):
        world.emitted["mixed"].remove(bad.event_id)
    world.check(aside=3)

    listed = json.loads(_quarantine(world, "list", "-A", "-o", "json"))
    assert {each["event_id"]: each["problem_document"] for each in listed} == {
        each: found.document for each, found in aside.items()
    }
    world.append("parent", [retrying("parent", 1)])
    world.turn()
    assert "back in the outbox" in _quarantine(world, "retry", orphan.event_id)
    world.turn()
    world.emitted["mixed"].append(orphan.event_id)
    world.check(aside=2)
    world.client.delete("wfe:outbox:quarantine")


def _quarantine(world: Stand, *words: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WFE_")}
    options = world.client.connection_pool.connection_kwargs
    there = {
        "KUBECONFIG": str(world.directory / "kubeconfig"),
        "WFE_REDIS_URL": f"redis://127.0.0.1:{options['port']}/0",
    }
    wfe = [str(Path(sys.executable).with_name("wfe")), "audit", "quarantine", *words]
    done = subprocess.run(wfe, env=kept | there, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_more_than_fits_into_one_request_goes_in_several(world: Stand) -> None:
    """Past the proxy: DataStorage refuses too large a body while it is still being sent."""
    world.emit("large", 60, size=200_000)
    direct = world.worker(url=world.service.address)
    world.turn(direct)
    assert world.outbox.trouble().failures == 0
    world.check()


def test_a_proxy_that_takes_little_gets_little(world: Stand) -> None:
    """413 from the way: halves, until they pass."""
    world.emit("halved", 16)
    before = len(world.proxy.outcomes)
    world.proxy.then(Fault(Stage.BEFORE, Says(413)), Fault(Stage.BEFORE, Says(413)))
    world.turn()
    assert [code for _, code in world.proxy.outcomes[before:]] == [None, None, 201, 201, 201]
    world.check()


def test_a_batch_that_takes_datastorage_too_long_gets_smaller(world: Stand) -> None:
    """It would be tried for ever as it is: a statement has its time, and what it did is undone."""
    world.emit("less", 40)
    world.proxy.largest = 3000
    try:
        world.drain()
    finally:
        world.proxy.largest = 0
    world.check()


@pytest.mark.parametrize("code", [400, 409, 413, 422])
def test_nobody_on_the_way_puts_an_event_into_quarantine(world: Stand, code: int) -> None:
    world.emit("way", 1)
    world.proxy.then(*[Fault(Stage.BEFORE, Says(code))] * 3)
    for _ in range(3):
        world.turn()
    assert (world.outbox.size(), world.outbox.quarantined(), world.outbox.trouble().failures) == (1, 0, 3)
    world.drain()
    world.check()


def test_a_flusher_that_was_paused_for_too_long_sends_nothing_more(world: Stand) -> None:
    world.emit("paused", 3)
    single = world.worker(batch_size=1)
    forwarded = world.proxy.forwarded
    world.proxy.then(Fault(Stage.ANSWER, Act.HOLD))
    flusher = threading.Thread(target=world.turn, args=(single,))
    flusher.start()
    until(lambda: world.proxy.forwarded > forwarded, 30, "the first is under way")
    world.client.delete("wfe:outbox:turn")
    world.proxy.go_on.set()
    flusher.join(60)
    assert (world.proxy.forwarded - forwarded, world.outbox.size(), world.outbox.trouble().failures) == (1, 2, 0)
    world.drain()
    world.check()


def test_a_long_backlog_is_left_to_the_next_turn(world: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """No task runs for minutes: who has had his time asks for another flush and goes."""
    world.emit("long", 3)
    asked = world.client.llen("wfe:celery:audit")
    monkeypatch.setattr("tasks.auditing.LONGEST", -1.0)
    world.turn()
    assert world.outbox.size() == 3
    assert world.client.llen("wfe:celery:audit") > asked
    monkeypatch.undo()
    world.drain()
    world.check()


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_kept_by_every_worker_and_nobody_sleeps(world: Stand, dated: bool) -> None:
    then = datetime.now(UTC).replace(microsecond=0)
    asked = {"Retry-After": "90"}
    if dated:
        asked = {
            "Date": format_datetime(then, True),
            "Retry-After": format_datetime(then + timedelta(seconds=90), True),
        }
    world.emit("asked", 2)
    world.proxy.then(Fault(Stage.BEFORE, Says(429, asked)))
    world.turn()
    before = len(world.proxy.outcomes)
    another = world.worker()
    for _ in range(9):
        world.flush_now(another)
        world.clock.advance(timedelta(seconds=9.9))
    assert len(world.proxy.outcomes) == before
    world.clock.advance(timedelta(seconds=1))
    world.flush_now(another)
    assert (len(world.proxy.outcomes), world.outbox.size()) == (before + 1, 0)
    world.check()


def test_waits_grow_and_are_drawn_from_all_of_their_length(world: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.5, -1.0, 0.25, 0.0, 1.0, 1.0, -0.5])
    monkeypatch.setattr("tasks.auditing.draw_jitter", lambda: next(shares))
    world.emit("grows", 1)
    waits = []
    world.proxy.then(*[Fault(Stage.BEFORE, Says(502))] * 7)
    for _ in range(7):
        world.turn()
        waits.append(world.outbox.flush_wait() / timedelta(seconds=1))
    assert waits == [0.5, 2, 1, 0.001, 16, 32, 30]
    world.drain()
    assert world.outbox.trouble().failures == 0
    world.check()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, client: redis.Redis) -> Iterator[Stand]:
    """Run another DataStorage, which asks for a token."""
    place = tmp_path_factory.mktemp("guarded")
    (place / "tokens").write_text(f"executor write {WRITER}\nauditor read {READER}\n")
    settings = {"DATASTORAGE_SERVER_TOKEN_FILE": str(place / "tokens")}
    service = Service(place, f"sqlite:///{place}/audit.db", settings=settings)
    service.prepare()
    with stand(service, client, READER) as made:
        yield made


@pytest.mark.parametrize(
    ("wrong", "cause", "words"),
    [
        ("x" * 20, "unauthorized", "DataStorage answered 401 unauthorized"),
        (READER, "forbidden", "DataStorage answered 403 forbidden"),
        ("", "unauthorized", "token"),
        (None, "unauthorized", "cannot be read"),
    ],
)
def test_who_is_not_let_in_is_told_and_loses_nothing(
    guarded: Stand, wrong: str | None, cause: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = guarded.directory / "token"
    token.unlink(missing_ok=True)
    if wrong is not None:
        token.write_text(wrong)
    worker = guarded.worker(token_file=str(token))
    story = f"outside-{cause}-{len(guarded.emitted)}"
    ids = guarded.emit(story, 3)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            guarded.turn(worker)
    assert guarded.counted("audit_put_off_total", worker, cause=cause) == 5
    assert guarded.counted("audit_events_dropped_total", worker) == 0
    assert {each.levelno for each in caplog.records if "audit events wait" in each.message} == {logging.ERROR}
    assert (guarded.outbox.size(), guarded.outbox.quarantined(), guarded.outbox.acked(story)) == (3, 0, frozenset())
    trouble = guarded.outbox.trouble()
    assert trouble.failures == 5
    assert words in trouble.words
    assert WRITER not in trouble.words
    token.write_text(WRITER)
    guarded.turn(worker)
    assert guarded.outbox.acked(story) == set(ids)
    guarded.check()


def test_what_was_lost_with_redis_is_sent_again_and_stored_once(world: Stand) -> None:
    """The passes derive it anew from the status; the same ids and content, though DataStorage has some of it."""
    kept: list[Any] = [retrying("derived", number) for number in range(1, 8)]
    world.append("derived", kept)
    world.proxy.then(Fault(Stage.AFTER, Says(502)))
    world.turn()
    world.client.flushall()
    world.clock.advance(timedelta(seconds=1))
    world.append("derived", kept, again=True)
    world.drain()
    world.check()
