"""Which changes want a pass, and which are only our own writes coming back."""

from __future__ import annotations

import copy
import gc
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.keys import Key
from models.names import ANNOTATION_UID, FINALIZER, LABEL_EXECUTION, LABEL_SOURCE_NAMESPACE
from watcher.route import execution_changed, execution_listed, finished, run_changed
from watcher.seen import see_execution, see_run

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
COOLDOWN = timedelta(minutes=5)
EXECUTION: dict[str, Any] = {
    "metadata": {
        "namespace": "shop",
        "name": "one",
        "uid": "u1",
        "generation": 1,
        "resourceVersion": "1",
        "finalizers": [FINALIZER],
        "annotations": {"example.com/note": "a"},
    },
    "status": {"phase": "Running", "attempt": 1},
}
RUN: dict[str, Any] = {
    "metadata": {
        "namespace": "workflows",
        "name": "wfe-1",
        "uid": "r1",
        "labels": {LABEL_EXECUTION: "one", LABEL_SOURCE_NAMESPACE: "shop"},
    },
}


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    other = copy.deepcopy(document)
    *parents, last = path.split(".")
    place = other
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return other


def run_with(status: str, reason: str, message: str = "") -> dict[str, Any]:
    condition = {"type": "Succeeded", "status": status, "reason": reason, "message": message}
    return changed(RUN, "status.conditions", [{"type": "Other", "status": "True"}, condition])


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("metadata.generation", 2, True),
        ("metadata.deletionTimestamp", "2026-01-02T12:00:00Z", True),
        ("metadata.annotations", {"example.com/note": "a", "kubernaut.ai/cancel": "stop"}, True),
        ("metadata.annotations", {"workflowexecution.kubernaut.ai/x": "y"}, True),
        ("metadata.finalizers", [], True),
        ("metadata.uid", "u2", True),
        ("metadata.annotations", {"example.com/note": "b"}, False),
        ("metadata.annotations", {"notkubernaut.ai/cancel": "b"}, False),
        ("metadata.finalizers", [FINALIZER, "example.com/other"], False),
        ("metadata.resourceVersion", "2", False),
        ("metadata.labels", {"a": "b"}, False),
        ("status.phase", "Completed", True),
        ("status.phase", "Pending", False),
        ("status.attempt", 2, False),
        ("status.audit", {"pending": [{"type": "workflow.completed"}]}, False),
    ],
)
def test_a_live_change_of_an_execution(path: str, value: object, wanted: bool) -> None:
    before, after = see_execution(EXECUTION), see_execution(changed(EXECUTION, path, value))
    assert execution_changed(before, after) is wanted


def test_our_finalizer_coming_is_our_own_write_and_its_loss_is_not() -> None:
    without = see_execution(changed(EXECUTION, "metadata.finalizers", []))
    assert not execution_changed(without, see_execution(EXECUTION))
    assert execution_changed(see_execution(EXECUTION), without)


ENDED = {
    "phase": "Failed",
    "attempt": 1,
    "completionTime": "2026-01-02T11:59:00Z",
    "audit": {"pending": [{"type": "workflow.failed"}]},
}
AUDITED = {**ENDED, "audit": {}}
CLEARED = {**AUDITED, "blockClearance": {"clearReason": "looked at"}}
CLEARED_BY_US = {**CLEARED, "audit": {"pending": [{"type": "workflow.block_cleared"}]}}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({"phase": "Running", "attempt": 1}, ENDED, False),
        (ENDED, AUDITED, False),
        ({"phase": "Running", "attempt": 1}, AUDITED, True),
        (AUDITED, {"phase": "Failed", "attempt": 1}, True),
        ({"phase": "Failed", "attempt": 1}, {"phase": "Failed", "attempt": 1, "reason": "x"}, False),
        (AUDITED, {"phase": "Running", "attempt": 1}, True),
        (AUDITED, CLEARED, True),
        (ENDED, {**CLEARED, "audit": ENDED["audit"]}, True),
        (AUDITED, CLEARED_BY_US, False),
        (CLEARED_BY_US, CLEARED, False),
        (CLEARED, {**CLEARED, "blockClearance": {"clearReason": "again"}}, False),
    ],
)
def test_what_somebody_else_writes_into_a_status_wants_a_pass_and_our_own_ends_do_not(
    before: dict[str, Any], after: dict[str, Any], wanted: bool
) -> None:
    seen = [see_execution(changed(EXECUTION, "status", status)) for status in (before, after)]
    assert execution_changed(seen[0], seen[1]) is wanted


def test_what_is_kept_of_an_object_is_about_a_kilobyte() -> None:
    """The real objects have tens: managed fields, a pipeline's whole spec, conditions, results."""
    large = changed(EXECUTION, "metadata.managedFields", [{"fieldsV1": {"f:x": "y" * 30_000}}])
    large = changed(large, "metadata.annotations", {f"kubernaut.ai/{n}": "z" * 3000 for n in range(8)})
    run = changed(run_with("Unknown", "Running", "w" * 30_000), "status.pipelineSpec", {"tasks": ["t" * 30_000]})
    for document, see in ((large, see_execution), (run, see_run)):
        count = 100
        copies = [json.dumps({**document, "metadata": {**document["metadata"], "uid": f"u{n}"}}) for n in range(count)]
        tracemalloc.start()
        kept = [see(json.loads(text)) for text in copies]
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] / count
        tracemalloc.stop()
        assert len(kept) == count
        assert size < 1024, (see.__name__, size)


def test_our_last_write_of_a_deletion_wants_no_pass() -> None:
    deleting = changed(EXECUTION, "metadata.deletionTimestamp", "2026-01-02T12:00:00Z")
    released = changed(deleting, "metadata.finalizers", ["example.com/other"])
    assert not execution_changed(see_execution(deleting), see_execution(released))


def test_a_new_execution_wants_a_pass() -> None:
    assert execution_changed(None, see_execution(EXECUTION))


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ({}, False),
        ({"phase": "Running", "attempt": 1}, False),
        ({"phase": "Completed", "attempt": 1, "completionTime": "2026-01-02T11:00:00Z"}, True),
        ({"phase": "Completed", "attempt": 1, "completionTime": "2026-01-02T11:58:00Z"}, False),
        ({"phase": "Completed", "attempt": 1}, False),
        ({"phase": "Failed", "attempt": 1, "completionTime": "no instant"}, False),
        ({"phase": "Failed"}, True),
        (
            {
                "phase": "Failed",
                "attempt": 1,
                "completionTime": "2026-01-02T11:00:00Z",
                "audit": {"pending": [{"type": "workflow.failed"}]},
            },
            False,
        ),
    ],
)
def test_a_list_asks_for_what_is_not_known_to_be_finished(status: dict[str, Any], done: bool) -> None:
    seen = see_execution(changed(EXECUTION, "status", status))
    assert finished(seen, NOW, COOLDOWN) is done
    assert execution_listed(None, seen, NOW, COOLDOWN) is not done
    assert not execution_listed(seen, seen, NOW, COOLDOWN)


def test_a_finished_execution_being_deleted_is_not_finished() -> None:
    document = changed(EXECUTION, "status", {"phase": "Failed"})
    document = changed(document, "metadata.deletionTimestamp", "2026-01-02T12:00:00Z")
    assert not finished(see_execution(document), NOW, COOLDOWN)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (None, RUN, False),
        (None, run_with("Unknown", "Started"), False),
        (None, run_with("True", "Succeeded"), True),
        (RUN, run_with("Unknown", "Started"), False),
        (run_with("Unknown", "Started"), run_with("Unknown", "Running"), False),
        (RUN, run_with("False", "CouldntGetPipeline"), True),
        (run_with("Unknown", "Running"), run_with("True", "Succeeded"), True),
        (
            run_with("Unknown", "Running", "Tasks Completed: 0 (Failed: 0, Cancelled 0), Incomplete: 2, Skipped: 0"),
            run_with("Unknown", "Running", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0"),
            True,
        ),
        (run_with("Unknown", "Running"), run_with("Unknown", "Running"), False),
        (RUN, changed(RUN, "metadata.deletionTimestamp", "2026-01-02T12:00:00Z"), True),
        (RUN, changed(RUN, "metadata.uid", "r2"), False),
        (RUN, changed(RUN, "metadata.generation", 2), False),
        (RUN, changed(RUN, "status.childReferences", [{}]), False),
    ],
)
def test_a_change_of_a_run(before: dict[str, Any] | None, after: dict[str, Any], wanted: bool) -> None:
    seen = None if before is None else see_run(before)
    assert run_changed(seen, see_run(after)) is wanted


def test_a_run_names_its_execution_and_an_annotation_wins_over_a_cut_label() -> None:
    assert see_run(RUN).key == Key("shop", "one")
    long = changed(RUN, "metadata.annotations", {LABEL_EXECUTION: "one" * 40, ANNOTATION_UID: "u"})
    assert see_run(long).key == Key("shop", "one" * 40)
    assert see_run(changed(RUN, "metadata.labels", {LABEL_EXECUTION: "one"})).key is None


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"metadata": None, "status": None},
        {"metadata": {"annotations": [], "finalizers": {}, "labels": 3}, "status": []},
        {
            "metadata": {"annotations": {"kubernaut.ai/cancel": None, "kubernaut.ai/x": {}}},
            "status": {"audit": 1, "conditions": {"a": 1}},
        },
        {"metadata": {}, "status": {"conditions": [None, 3, {"type": "Succeeded"}]}},
    ],
)
def test_reading_never_fails(document: dict[str, Any]) -> None:
    see_execution(document)
    see_run(document)
