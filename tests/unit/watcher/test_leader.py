"""The Lease loop against scripted answers; the two-instance tests on a real API server are in integration/watcher."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.adapters.cluster import Cluster
from tests import waiting
from tests.unit.cluster.conftest import Serve
from tests.unit.cluster.scripted import Reply, Request, status
from watcher.leader import LeaderElection, LeaseTiming

pytestmark = pytest.mark.enable_socket
PATIENT = LeaseTiming(duration=90, renew_deadline=60, retry=0.05, call=30, release_call=30)
QUICK = LeaseTiming(duration=90, renew_deadline=0.4, retry=0.05, call=0.2, release_call=30)
"""For the one test that waits until renewing has failed for too long."""


class Lease:
    """One Lease behind a scripted server: what a test puts in, and how the server behaves."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        self.away = False
        self.version = 0

    def put(self, **spec: Any) -> None:
        self.version += 1
        self.document = {"metadata": {"resourceVersion": str(self.version)}, "spec": spec}

    @property
    def spec(self) -> dict[str, Any]:
        assert self.document is not None
        return dict(self.document["spec"])

    def answer(self, request: Request) -> Reply:
        if self.away:
            return Reply(503, status(503, "ServiceUnavailable"))
        if request.method == "GET":
            missing = Reply(404, status(404, "NotFound", name="lease", kind="leases"))
            return Reply(200, self.document) if self.document else missing
        body = json.loads(request.body)
        if request.method == "POST":
            self.put(**body["spec"])
        elif self.document is None or body["metadata"]["resourceVersion"] != str(self.version):
            return Reply(409, status(409, "Conflict"))
        else:
            self.put(**{**self.document["spec"], **body["spec"]})
        return Reply(200, self.document)


@pytest.fixture
def lease() -> Lease:
    return Lease()


@pytest.fixture
def cluster(serve: Serve, lease: Lease) -> Cluster:
    return serve(lease.answer)[1]


Join = Callable[[str], LeaderElection]


@pytest.fixture
def timing() -> LeaseTiming:
    return PATIENT


@pytest.fixture
def elections(cluster: Cluster, timing: LeaseTiming) -> Iterator[tuple[Join, list[str]]]:
    led: list[str] = []
    started: list[tuple[LeaderElection, threading.Thread]] = []

    def join(identity: str) -> LeaderElection:
        election = LeaderElection(cluster, "system", identity, lambda: led.append(identity), lambda: 0.5, timing)
        thread = threading.Thread(target=election.run, daemon=True)
        thread.start()
        started.append((election, thread))
        return election

    yield join, led
    for election, thread in started:
        election.stop()
        thread.join(60)
        assert not thread.is_alive()


def until(condition: Callable[[], object]) -> None:
    waiting.until(condition, 60, "what the election does", every=0.005)


def test_the_first_one_makes_the_lease_and_renews_it(elections: tuple[Join, list[str]], lease: Lease) -> None:
    join, led = elections
    election = join("a")
    until(lambda: election.leading and lease.version >= 3)
    assert lease.spec["holderIdentity"] == "a"
    assert lease.spec["leaseTransitions"] == 0
    assert led == ["a"]


def test_a_living_holder_is_left_alone_and_a_silent_one_succeeded(
    elections: tuple[Join, list[str]], lease: Lease
) -> None:
    join, _ = elections
    lease.put(holderIdentity="other", leaseDurationSeconds=0.3, leaseTransitions=4, renewTime="2000-01-01T00:00:00.0Z")
    start = time.monotonic()
    election = join("a")
    until(lambda: election.leading)
    assert time.monotonic() - start >= 0.3, "a lease counts from when we saw it, whatever its own clock says"
    assert lease.spec["leaseTransitions"] == 5


def test_a_released_lease_is_taken_at_once(elections: tuple[Join, list[str]], lease: Lease) -> None:
    join, led = elections
    first = join("a")
    until(lambda: first.leading)
    second = join("b")
    first.stop()
    until(lambda: second.leading)  # this does not wait as long as a lease lasts
    until(lambda: led == ["a", "b"])


@pytest.mark.parametrize("timing", [QUICK])
def test_who_cannot_renew_stops_leading_and_leads_again_later(elections: tuple[Join, list[str]], lease: Lease) -> None:
    join, led = elections
    election = join("a")
    until(lambda: election.leading)
    lease.away = True
    until(lambda: not election.leading)
    lease.away = False
    until(lambda: election.leading)
    until(lambda: led[:2] == ["a", "a"])  # each start of leading asks for a resync


def test_a_lease_taken_by_another_ends_leading(elections: tuple[Join, list[str]], lease: Lease) -> None:
    join, _ = elections
    election = join("a")
    until(lambda: election.leading)
    lease.put(holderIdentity="other", leaseDurationSeconds=60)
    until(lambda: not election.leading)
    assert lease.spec["holderIdentity"] == "other"


def test_somebody_elses_edit_of_our_lease_is_survived(elections: tuple[Join, list[str]], lease: Lease) -> None:
    join, led = elections
    election = join("a")
    until(lambda: election.leading)
    lease.put(**lease.spec)
    version = lease.version
    until(lambda: lease.version > version + 2)
    assert election.leading
    assert led == ["a"]
