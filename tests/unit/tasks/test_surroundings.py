"""What is remembered of the surroundings, and what is not: an answer that keeps somebody waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from models.errors import Transient
from models.execution import Engine
from models.freeze import freeze_document
from tasks.adapters.surroundings import ClusterSurroundings

FROZEN = freeze_document("migration", "alice", "home")
FROZEN["metadata"] |= {"uid": "f", "creationTimestamp": "2026-05-04T12:00:00Z"}


class Cluster:
    """Answers every question with `answer`, and counts them."""

    def __init__(self) -> None:
        self.answer: Callable[[], Any] = lambda: FROZEN
        self.asked = 0

    def get(self, path: str) -> Any:
        self.asked += 1
        return self.answer()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def around(cluster: Cluster) -> ClusterSurroundings:
    return ClusterSurroundings(cast("Any", cluster), "home")


def test_end_of_a_freeze_is_seen_by_whoever_asks_after_it(cluster: Cluster, around: ClusterSurroundings) -> None:
    assert around.freeze() is not None
    cluster.answer = lambda: None
    assert around.freeze() is None
    assert around.freeze() is None
    assert cluster.asked == 2, "what keeps nobody waiting is remembered"


def test_nobody_goes_on_waiting_for_the_answer_to_an_older_question(
    cluster: Cluster, around: ClusterSurroundings
) -> None:
    """All who wait for the end of a freeze are woken at once, while somebody's question is still on its way."""
    assert around.freeze() is not None
    asking, go_on = threading.Event(), threading.Event()

    def slowly() -> Any:
        asking.set()
        assert go_on.wait(60)
        return FROZEN

    cluster.answer = slowly
    with ThreadPoolExecutor(9) as pool:
        before = pool.submit(around.freeze)
        assert asking.wait(60)
        cluster.answer = lambda: None
        after = [pool.submit(around.freeze) for _ in range(8)]
        go_on.set()
        assert before.result() is not None
        assert [answer.result() for answer in after] == [None] * 8


def test_coming_of_tekton_is_seen_by_whoever_asks_after_it(cluster: Cluster, around: ClusterSurroundings) -> None:
    cluster.answer = dict
    around.engine_absent(Engine.TEKTON)
    assert not around.engine_available(Engine.TEKTON)
    cluster.answer = lambda: {"resources": [{"name": "pipelineruns"}]}
    assert around.engine_available(Engine.TEKTON)


def test_freeze_whose_end_nobody_can_tell_is_asked_for_again(cluster: Cluster, around: ClusterSurroundings) -> None:
    assert around.freeze() is not None

    def away() -> Any:
        raise Transient("no answer")

    cluster.answer = away
    with pytest.raises(Transient):
        around.freeze()
