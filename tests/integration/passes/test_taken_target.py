"""A taken target on the real API server and Redis: skipped, blocked, cleared, unlocked, a step a pass."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from models.duration import parse_duration
from models.hold import Mine
from models.keys import Key
from models.manifest import run_manifest
from models.names import ASK_CLEAR, ASK_UNLOCK, REQUESTED_BY
from models.status import ClearMethod, ConditionType, FactType, Phase, SkipReason, WaitReason
from models.target import run_name
from tasks.adapters import paths
from tasks.reconciling import run_key
from tasks.upkeep import resync
from tests.integration.passes.conftest import World
from tests.waiting import until

TARGET = "ns/deployment/taken"
SKIP = {"concurrencyPolicy": "Skip"}
FAIL = {"concurrencyPolicy": "Fail"}


def ask(world: World, key: Key, annotation: str) -> None:
    annotations = {annotation: "looked at", REQUESTED_BY: "ann"}
    world.cluster.merge_patch(paths.execution(key), {"metadata": {"annotations": annotations}})


def failed_in_mid_run(world: World) -> Key:
    """Return an execution whose run failed after a task had started."""
    key = world.declare(TARGET)
    world.make_pass(key)
    world.end_run(key, succeeded=False, reason="Failed")
    assert world.make_pass(key).status.phase is Phase.FAILED
    return key


def rested(world: World, key: Key) -> None:
    """Wait until the cooldown of an execution is over, and let it delete its run."""
    completed = world.read(key).status.completed_at
    assert completed is not None
    until(lambda: world.parts.queue.now() >= completed + world.parts.policy.cooldown, 60, "the cooldown is over")
    world.make_pass(key)
    assert world.run_of(key) is None


def holders(world: World) -> list[Key]:
    return [held.key for held in world.parts.holds.all() if held.target == TARGET]


def test_skip_tells_who_has_the_target_and_never_stands_in_line(world: World) -> None:
    running = world.declare(TARGET)
    world.make_pass(running)
    skipped = world.declare(TARGET, executionConfig=SKIP)
    status = world.make_pass(skipped).status
    assert (status.phase, status.reason) == (Phase.SKIPPED, SkipReason.RESOURCE_BUSY)
    document = world.cluster.get(paths.execution(skipped))
    assert document is not None
    met = document["status"]["skipDetails"]["conflictingWorkflow"]
    assert (met["name"], met["workflowId"], met["targetResource"]) == (running.name, "w", TARGET)
    assert met["startedAt"]
    assert document["status"]["completionTime"]
    assert world.events_of(skipped) == ["Skipped"]
    assert world.parts.holds.line(TARGET) == []
    assert world.make_pass(skipped).status.phase is Phase.SKIPPED
    assert holders(world) == [running]


def test_skip_after_an_end_tells_what_is_left_of_the_cooldown(world: World) -> None:
    first = world.declare(TARGET)
    world.make_pass(first)
    with world.long_cooldown() as cooldown:
        world.end_run(first, succeeded=True, reason="Succeeded")
        world.make_pass(first)
        skip = world.make_pass(world.declare(TARGET, executionConfig=SKIP)).status.skip
    assert skip is not None
    assert (skip.reason, skip.holder, skip.outcome) == (SkipReason.RECENTLY_REMEDIATED, first.name, "Completed")
    left = parse_duration(skip.cooldown_remaining)
    assert cooldown - timedelta(minutes=1) < left <= cooldown + timedelta(seconds=1)


def test_fail_at_a_busy_target_ends_with_the_words_of_the_contract(world: World) -> None:
    running = world.declare(TARGET)
    world.make_pass(running)
    run = world.run_of(running)
    assert run is not None
    failure = world.make_pass(world.declare(TARGET, executionConfig=FAIL)).status.failure
    assert failure is not None
    for words in ("Race condition", "PipelineRun", run.name, "already exists"):
        assert words in failure.message
    assert world.run_of(running) == run


def test_policy_is_followed_when_the_run_of_another_stands_in_the_way(world: World) -> None:
    first = world.declare(TARGET)
    world.make_pass(first)
    [held] = [held for held in world.parts.holds.all() if held.key == first]
    world.parts.holds.release(TARGET, held.uid, held.fence, clean=True)
    skipped = world.declare(TARGET, executionConfig=SKIP)
    status = world.make_pass(skipped).status
    assert (status.phase, status.reason) == (Phase.SKIPPED, SkipReason.RESOURCE_BUSY)
    assert holders(world) == [first]
    assert world.parts.holds.line(TARGET) == []


def test_failure_in_mid_run_blocks_until_somebody_clears_it(world: World) -> None:
    first = failed_in_mid_run(world)
    second = world.declare(TARGET)
    waiting = world.make_pass(second).status
    assert (waiting.phase, waiting.reason) == (Phase.PENDING, WaitReason.PREVIOUS_FAILED)
    locked = waiting.condition(ConditionType.LOCKED)
    assert locked is not None
    assert locked.reason == WaitReason.PREVIOUS_FAILED
    assert f'wfe clear {first.name} -n {first.namespace} --reason "..."' in locked.message
    assert f"kubectl annotate wfe {first.name} -n {first.namespace} {ASK_CLEAR}=" in locked.message
    rested(world, first)
    assert holders(world) == [first]
    assert world.make_pass(second).status.phase is Phase.PENDING

    ask(world, first, ASK_CLEAR)
    cleared = world.make_pass(first).status
    assert cleared.clearance is not None
    assert (cleared.clearance.by, cleared.clearance.reason) == ("unverified:ann", "looked at")
    assert cleared.clearance.method is ClearMethod.ANNOTATION
    assert FactType.BLOCK_CLEARED in {fact.type for fact in cleared.pending_facts}
    assert "BlockCleared" in world.events_of(first)
    world.make_pass(first)
    assert world.make_pass(second).status.phase is Phase.RUNNING


@pytest.mark.parametrize(("by", "method"), [("bob", "Annotation"), ("unverified:bob", "StatusField")])
def test_clearance_written_into_the_status_in_our_own_words_is_told(world: World, by: str, method: str) -> None:
    """The API server records who wrote a field; only what we wrote ourselves has been told."""
    first = failed_in_mid_run(world)
    rested(world, first)
    written = {
        "clearedAt": "2026-01-01T00:00:00Z",
        "clearedBy": by,
        "clearReason": "looked at",
        "clearMethod": method,
    }
    path = f"{paths.execution(first)}/status?fieldManager=kubectl-edit"
    world.cluster.merge_patch(path, {"status": {"blockClearance": written}})
    cleared = world.make_pass(first).status
    assert cleared.clearance is not None
    assert (cleared.clearance.by, cleared.clearance.method) == ("unverified:bob", ClearMethod.STATUS_FIELD)
    assert FactType.BLOCK_CLEARED in {fact.type for fact in cleared.pending_facts}
    assert "BlockCleared" in world.events_of(first)
    assert world.make_pass(first).status.clearance == cleared.clearance
    world.parts.outbox.acknowledge(world.parts.outbox.take(100))
    world.make_pass(first)
    settled = world.make_pass(first)
    assert (settled.status.pending_facts, settled.status.clearance) == ((), cleared.clearance)


def test_run_with_the_annotations_of_an_execution_of_another_target_is_foreign(world: World) -> None:
    """Its own run is under another name; what stands here is somebody's copy."""
    other, mine = world.declare("ns/deployment/elsewhere"), world.declare(TARGET)
    manifest = run_manifest(world.read(other), 1, 1, world.parts.policy)
    manifest["metadata"]["name"] = run_name(TARGET)
    copied = world.parts.runs.create(manifest)
    status = world.make_pass(mine).status
    assert (status.phase, status.run_name) == (Phase.FAILED, "")
    assert status.failure is not None
    assert "already exists" in status.failure.message
    world.make_pass(mine)
    assert holders(world) == []
    found = world.parts.runs.get(copied.name, copied.engine)
    assert found is not None
    assert found.uid == copied.uid
    assert world.make_pass(other).status.phase is Phase.RUNNING


def test_block_survives_an_emptied_redis(world: World, redis_client: redis.Redis) -> None:
    first = failed_in_mid_run(world)
    rested(world, first)
    redis_client.flushdb()
    second = world.declare(TARGET)
    resync(world.parts)
    assert holders(world) == [first]
    assert world.make_pass(second).status.reason == WaitReason.PREVIOUS_FAILED
    assert world.run_of(second) is None


def test_deletion_of_the_failed_one_lifts_its_block_and_is_audited(world: World) -> None:
    first = failed_in_mid_run(world)
    second = world.declare(TARGET)
    world.make_pass(second)
    execution = world.read(first)
    world.cluster.delete(paths.execution(first), uid=execution.uid)
    status = world.make_pass(first).status
    assert status.clearance is not None
    assert (status.clearance.by, status.clearance.method) == ("unverified:unknown", ClearMethod.API_ENDPOINT)
    assert "deleted" in status.clearance.reason
    assert FactType.BLOCK_CLEARED in {fact.type for fact in status.pending_facts}
    world.parts.outbox.acknowledge(world.parts.outbox.take(20))
    world.parts.queue.notify([first])
    run_key(first, world.parts)
    assert world.parts.executions.get(first) is None
    assert world.make_pass(second).status.phase is Phase.RUNNING


def test_unlock_frees_the_target_of_an_ended_one_at_once(world: World) -> None:
    first = failed_in_mid_run(world)
    ask(world, first, ASK_UNLOCK)
    status = world.make_pass(first).status
    assert status.unlock is not None
    assert (status.unlock.by, status.unlock.reason) == ("unverified:ann", "looked at")
    assert FactType.UNLOCKED in {fact.type for fact in status.pending_facts}
    world.make_pass(first)
    assert world.run_of(first) is None
    assert holders(world) == []
    second = world.declare(TARGET, executionConfig=SKIP)
    assert world.make_pass(second).status.phase is Phase.RUNNING


def test_unlock_of_one_that_has_not_ended_is_not_heard(world: World) -> None:
    key = world.declare(TARGET)
    world.make_pass(key)
    ask(world, key, ASK_UNLOCK)
    assert world.make_pass(key).status.unlock is None
    assert isinstance(world.parts.holds.look(TARGET, world.read(key).uid), Mine)
    assert world.run_of(key) is not None


def test_refused_fact_is_told_with_its_reason_and_mended_by_a_later_acknowledgement(world: World) -> None:
    key = world.declare(TARGET)
    world.make_pass(key)
    world.end_run(key, succeeded=True, reason="Succeeded")
    execution = world.make_pass(key)
    assert {fact.type for fact in execution.status.pending_facts} == {FactType.STARTED, FactType.COMPLETED}
    items = [item for item in world.parts.outbox.take(20) if item.uid == execution.uid]
    world.parts.outbox.acknowledge(items[:1])
    world.parts.outbox.quarantine(items[1], "event_data is too deep")
    audit = world.make_pass(key).status.condition(ConditionType.AUDIT)
    assert audit is not None
    assert (audit.status, audit.reason) == (False, "AuditFailed")
    assert "workflow.completed" in audit.message
    assert "event_data is too deep" in audit.message
    world.parts.outbox.acknowledge(items[1:])
    mended = world.make_pass(key).status
    audit = mended.condition(ConditionType.AUDIT)
    assert audit is not None
    assert (audit.reason, mended.pending_facts) == ("AuditSucceeded", ())
