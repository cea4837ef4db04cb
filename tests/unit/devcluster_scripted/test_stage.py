"""A TaskRun is created in place of one that an earlier run left, however the two players' deletions interleave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from devcluster.scripted.connection import Client, Server
from devcluster.scripted.course import course_of
from devcluster.scripted.stage import Abandoned, carry_out
from devcluster.scripted.statuses import CreateTaskRun
from devcluster.scripted.task_statuses import task_run_document
from tests.unit.cluster.scripted import Reply, ScriptedServer

pytestmark = pytest.mark.enable_socket

RUN = {"metadata": {"namespace": "n", "name": "same", "uid": "second", "annotations": {}}, "spec": {}}


def owned_by(uid: str) -> dict[str, Any]:
    return {"metadata": {"uid": f"task-of-{uid}", "ownerReferences": [{"uid": uid, "controller": True}]}}


def create(answers: Sequence[tuple[int, object]]) -> list[str]:
    """Play the creation of a TaskRun against these answers in their order, and return what was asked."""
    left = list(answers)

    def answer(_: object) -> Reply:
        code, body = left.pop(0)
        return Reply(code, body)

    server = ScriptedServer(answer)
    client = Client(Server("127.0.0.1", server.port, None, {}))
    course = course_of(RUN)
    try:
        carry_out(client, course, CreateTaskRun(task_run_document(course, 0)))
        return [request.method for request in server.requests]
    finally:
        client.close()
        server.stop()


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([(201, {})], ["POST"]),
        ([(409, {}), (200, owned_by("second"))], ["POST", "GET"]),
        ([(409, {}), (200, owned_by("first")), (200, {}), (201, {})], ["POST", "GET", "DELETE", "POST"]),
        ([(409, {}), (404, {}), (201, {})], ["POST", "GET", "POST"]),
        ([(409, {}), (200, owned_by("first")), (404, {}), (201, {})], ["POST", "GET", "DELETE", "POST"]),
        ([(409, {}), (200, owned_by("first")), (409, {}), (201, {})], ["POST", "GET", "DELETE", "POST"]),
    ],
    ids=["free", "ours", "left", "gone-when-read", "gone-when-deleted", "changed-hands"],
)
def test_the_name_of_a_task_run_is_taken_over(answers: list[tuple[int, object]], asked: list[str]) -> None:
    assert create(answers) == asked


def test_a_refused_task_run_ends_the_play() -> None:
    with pytest.raises(Abandoned):
        create([(422, {"message": "no"})])
