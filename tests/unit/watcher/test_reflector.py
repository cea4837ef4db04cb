"""The rules of list and watch against scripted faults; requests are counted, so that no fault is a storm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from models.keys import Key
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.unit.cluster.conftest import Serve
from tests.unit.cluster.scripted import Reply, Request, Script, ScriptedServer, status, watch_line
from tests.waiting import until
from watcher.reflector import Reflector
from watcher.resource import Resource, Timing
from watcher.route import execution_changed
from watcher.seen import SeenExecution, see_execution
from watcher.state import StreamState

pytestmark = pytest.mark.enable_socket

PATIENT = Timing()
QUICK = Timing(read_timeout=1.0)
"""For those tests that wait until a stream counts as broken; all others must not see it on a slow machine."""
REST = 0.02
"""Seconds that any pause lasts here; how long it would have been is noted."""


def execution(name: str, version: str, uid: str = "u", generation: int = 1) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": version, "generation": generation}
    return {"metadata": metadata}


def page(version: str, *items: dict[str, Any], token: str = "") -> Reply:
    return Reply(200, {"metadata": {"resourceVersion": version, "continue": token}, "items": list(items)})


def bookmark(version: str) -> bytes:
    return watch_line("BOOKMARK", {"metadata": {"resourceVersion": version}})


def key(name: str) -> Key:
    return Key("shop", name)


@dataclass
class Run:
    server: ScriptedServer
    reflector: Reflector[SeenExecution]
    state: StreamState
    delivered: list[tuple[str, bool]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    thread: threading.Thread | None = None

    def until(self, condition: Callable[[Run], object]) -> None:
        try:
            until(lambda: condition(self), 60, "what the reflector does", every=0.005)
        except AssertionError as late:
            raise AssertionError((self.delivered, self.server.requests)) from late

    def positions(self) -> list[str]:
        return [request.params["resourceVersion"] for request in self.server.watches()]


Follow = Callable[..., Run]


@pytest.fixture
def follow(serve: Serve) -> Iterator[Follow]:
    runs: list[Run] = []

    def start(script: Script, timing: Timing = PATIENT, draw: float = 0.1) -> Run:
        server, cluster = serve(script)
        run = build(server, cluster, timing, draw)
        run.thread = threading.Thread(target=run.reflector.run, daemon=True)
        run.thread.start()
        runs.append(run)
        return run

    yield start
    for run in runs:
        run.reflector.stop()
        run.server.ended.set()
        assert run.thread is not None
        run.thread.join(60)
        assert not run.thread.is_alive()


def build(server: ScriptedServer, cluster: Cluster, timing: Timing, draw: float) -> Run:
    resource = Resource(
        name="workflowexecutions",
        path=paths.executions(),
        selector="kubernaut.ai/a",
        see=see_execution,
        changed=execution_changed,
        listed=execution_changed,
    )
    state = StreamState("workflowexecutions", required=True)
    delivered: list[tuple[str, bool]] = []
    pauses: list[float] = []

    def rest(stop: threading.Event, seconds: float) -> None:
        pauses.append(seconds)
        stop.wait(REST)

    reflector = Reflector(
        cluster, resource, lambda found, hot: delivered.append((found.name, hot)), state, lambda: draw, timing, rest
    )
    return Run(server, reflector, state, delivered, pauses)


def scripted(lists: Callable[[int], Reply], watches: Callable[[int, Request], Reply]) -> Script:
    """Answer the nth list and the nth watch, counted from 1; a list's later pages count on."""
    counts = {"list": 0, "watch": 0}

    def answer(request: Request) -> Reply:
        kind = "watch" if request.is_watch else "list"
        counts[kind] += 1
        return watches(counts[kind], request) if kind == "watch" else lists(counts[kind])

    return answer


QUIET = Reply(chunks=[], then="hang")


def test_lists_in_pages_then_watches_from_there_with_bookmarks(follow: Follow) -> None:
    pages = {1: page("7", execution("a", "5"), token="t"), 2: page("7", execution("b", "6"))}
    run = follow(scripted(pages.__getitem__, lambda n, request: QUIET))
    run.until(lambda r: r.server.watches() and r.state.ready)
    assert [request.params.get("continue") for request in run.server.lists()] == [None, "t"]
    assert {request.params["limit"] for request in run.server.lists()} == {"500"}
    assert not any("resourceVersion" in request.params for request in run.server.lists())
    watch = run.server.watches()[0].params
    assert (watch["resourceVersion"], watch["allowWatchBookmarks"]) == ("7", "true")
    assert 240 <= int(watch["timeoutSeconds"]) <= 300
    assert {request.params["labelSelector"] for request in run.server.requests} == {"kubernaut.ai/a"}
    assert run.delivered == [("a", False), ("b", False)]
    assert run.state.ready


def test_the_position_is_taken_over_from_every_event_and_bookmark_and_never_compared(follow: Follow) -> None:
    lines = [watch_line("ADDED", execution("a", "zz")), bookmark("9"), watch_line("MODIFIED", execution("a", "8"))]

    def watches(n: int, request: Request) -> Reply:
        return Reply(chunks=[lines[n - 1]]) if n <= 3 else QUIET

    run = follow(scripted(lambda n: page("1"), watches))
    run.until(lambda r: len(r.server.watches()) == 4)
    assert run.positions() == ["1", "zz", "9", "8"]
    assert len(run.server.lists()) == 1
    assert run.delivered == [("a", True)]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(410, status(410, "Expired")),
        Reply(410, status(410, "Gone")),
        Reply(504, status(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])),
        Reply(chunks=[watch_line("ERROR", status(410, "Expired"))]),
        Reply(chunks=[watch_line("ERROR", status(410, "Gone"))]),
    ],
)
def test_a_version_too_old_lists_again_and_finds_what_was_deleted(follow: Follow, reply: Reply) -> None:
    lists = {
        1: page("1", execution("kept", "1"), execution("gone", "1"), execution("new-uid", "1")),
        2: page("5", execution("kept", "1"), execution("new-uid", "5", uid="other"), execution("more", "4")),
    }
    run = follow(scripted(lists.__getitem__, lambda n, request: reply if n == 1 else QUIET))
    run.until(lambda r: len(r.server.watches()) == 2)
    assert run.positions() == ["1", "5"]
    assert run.delivered[3:] == [("gone", False), ("new-uid", False), ("more", False)]


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("410 answered", Reply(410, status(410, "Expired"))),
        ("410 as an event", Reply(chunks=[watch_line("ERROR", status(410, "Expired"))])),
        ("clean close", Reply(chunks=[])),
        ("clean close after a bookmark", Reply(chunks=[bookmark("2")])),
        ("reset in a line", Reply(chunks=[b'{"type":"ADDED","obj'], then="reset")),
        ("500", Reply(500, status(500, "InternalError"))),
        ("500 as an event", Reply(chunks=[watch_line("ERROR", {"kind": "Status", "code": 500})])),
        ("no JSON", Reply(chunks=[b"<html>\n"])),
        ("no event", Reply(chunks=[b'{"type":"ADDED"}\n'])),
        ("a refusal", Reply(403, status(403, "Forbidden"))),
    ],
)
def test_no_fault_becomes_a_storm(follow: Follow, name: str, reply: Reply) -> None:
    run = follow(scripted(lambda n: page(str(n)), lambda n, request: reply), draw=0.9)
    run.until(lambda r: len(r.pauses) >= 3)
    assert run.pauses[:3] == pytest.approx([0.9 * 0.8, 0.9 * 1.6, 0.9 * 3.2]), name
    run.until(lambda r: len(r.server.watches()) >= 4)
    assert len(run.server.requests) <= 2 * (len(run.pauses) + 1), name


def test_a_half_open_connection_is_found_and_the_watch_goes_on_where_it_was(follow: Follow) -> None:
    def watches(n: int, request: Request) -> Reply:
        if n == 1:
            return Reply(chunks=[watch_line("ADDED", execution("a", "2"))], then="hang")
        return Reply(chunks=[watch_line("ADDED", execution("b", "3"))], then="hang")

    run = follow(scripted(lambda n: page("1"), watches), QUICK)
    run.until(lambda r: ("b", True) in r.delivered)
    assert run.positions()[:2] == ["1", "2"]
    assert len(run.server.lists()) == 1


def test_a_line_cut_off_is_read_again_whole(follow: Follow) -> None:
    line = watch_line("ADDED", execution("a", "2"))

    def watches(n: int, request: Request) -> Reply:
        return Reply(chunks=[line[:20]], then="reset") if n == 1 else Reply(chunks=[line], then="hang")

    run = follow(scripted(lambda n: page("1"), watches))
    run.until(lambda r: r.delivered)
    assert run.positions()[:2] == ["1", "1"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, status(429, "TooManyRequests"), {"Retry-After": "30"}),
        Reply(chunks=[watch_line("ERROR", status(429, "TooManyRequests", retryAfterSeconds=30))]),
    ],
)
def test_a_busy_server_is_given_its_time_and_the_position_is_kept(follow: Follow, reply: Reply) -> None:
    run = follow(scripted(lambda n: page("3"), lambda n, request: reply if n == 1 else QUIET))
    run.until(lambda r: len(r.server.watches()) == 2)
    assert run.pauses == [30]
    assert run.positions() == ["3", "3"]
    assert len(run.server.lists()) == 1


def test_a_position_that_only_gives_errors_is_given_up(follow: Follow) -> None:
    broken = Reply(chunks=[watch_line("ERROR", {"kind": "Status", "code": 500, "message": "etcd leader changed"})])
    run = follow(scripted(lambda n: page(str(n)), lambda n, request: broken if n <= 5 else QUIET), draw=0.0)
    run.until(lambda r: len(r.server.watches()) == 6)
    assert run.positions() == ["1"] * 5 + ["2"]


def test_a_type_that_is_absent_is_asked_for_until_it_comes(follow: Follow) -> None:
    absent = Reply(404, b"404 page not found\n")
    there = threading.Event()
    found = page("1", execution("a", "1"))
    run = follow(scripted(lambda n: found if there.is_set() else absent, lambda n, request: QUIET))
    run.until(lambda r: r.state.absent and not r.state.ready)
    run.until(lambda r: len(r.server.lists()) >= 4)
    there.set()
    run.until(lambda r: r.state.listed)
    assert run.state.ready
    assert run.delivered == [("a", False)]


def test_a_type_that_goes_away_takes_its_objects_with_it(follow: Follow) -> None:
    absent = Reply(404, b"404 page not found\n")
    lists = scripted(lambda n: page("1", execution("a", "1")) if n == 1 else absent, lambda n, request: absent)
    run = follow(lists)
    run.until(lambda r: r.state.absent)
    assert run.delivered == [("a", False), ("a", False)]


def test_a_deleted_object_is_delivered_and_forgotten(follow: Follow) -> None:
    chunks = [watch_line("DELETED", execution("a", "2")), watch_line("ADDED", execution("a", "3"))]

    def watches(n: int, request: Request) -> Reply:
        return Reply(chunks=chunks, then="hang") if n == 1 else QUIET

    run = follow(scripted(lambda n: page("1", execution("a", "1")), watches), QUICK)
    run.until(lambda r: len(r.server.watches()) >= 2)
    assert run.delivered == [("a", False), ("a", True), ("a", True)]


def test_a_list_that_fails_half_way_is_begun_anew(follow: Follow) -> None:
    lists = {
        1: page("1", execution("a", "1"), token="t"),
        2: Reply(410, status(410, "Expired")),
        3: page("2", execution("b", "1")),
    }
    run = follow(scripted(lists.__getitem__, lambda n, request: QUIET))
    run.until(lambda r: r.server.watches())
    assert run.delivered == [("b", False)]
    assert [request.params.get("continue") for request in run.server.lists()] == [None, "t", None]


def test_a_stop_ends_a_waiting_watch_at_once(follow: Follow) -> None:
    run = follow(scripted(lambda n: page("1"), lambda n, request: QUIET))
    run.until(lambda r: r.server.watches())
    run.reflector.stop()
    assert run.thread is not None
    run.thread.join(PATIENT.read_timeout / 2)
    assert not run.thread.is_alive(), "it waits until its stream counts as broken"


def test_a_deaf_stream_is_seen(follow: Follow) -> None:
    run = follow(scripted(lambda n: Reply(then="silence"), lambda n, request: QUIET), QUICK)
    run.until(lambda r: r.state.silent_for > 0.3)
    assert not run.state.ready


def test_a_stream_that_opens_again_and_again_and_says_nothing_is_deaf(follow: Follow) -> None:
    run = follow(scripted(lambda n: page("1"), lambda n, request: QUIET), QUICK)
    run.until(lambda r: len(r.server.watches()) >= 3)
    run.until(lambda r: r.state.silent_for > 2 * QUICK.read_timeout)
    assert run.state.ready
