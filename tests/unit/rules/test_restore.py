"""What a resync derives from the API server alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from models.keys import Key
from models.names import ANNOTATION_ATTEMPT, ANNOTATION_FENCE, ANNOTATION_UID
from models.restore import restore
from models.status import Fact, FactType, Phase, QueuePlace, Status
from tests.unit.rules.builders import NOW, POLICY, TARGET, UID, ended, execution, run, running, spec


def test_running_execution_holds_its_target() -> None:
    found = restore([execution(running())], [run()], NOW, POLICY)
    assert [(hold.target, hold.owner.uid, hold.fence) for hold in found.holds] == [(TARGET, UID, 7)]
    assert found.unfinished == (Key("default", "again"),)


def test_run_counts_before_the_status_was_written() -> None:
    found = restore([execution(Status())], [run()], NOW, POLICY)
    assert [hold.fence for hold in found.holds] == [7]


def test_backing_off_execution_keeps_its_target() -> None:
    waiting = Status(attempt=1, failures=1, next_allowed=NOW + timedelta(minutes=1), fence=3)
    assert [hold.fence for hold in restore([execution(waiting)], [], NOW, POLICY).holds] == [3]


def test_cooldown_keeps_its_target_until_it_is_over() -> None:
    status = ended()
    assert restore([execution(status)], [], NOW, POLICY).holds != ()
    over = restore([execution(status)], [], NOW + POLICY.cooldown, POLICY)
    assert (over.holds, over.unfinished) == ((), ())


def test_run_that_still_stands_after_its_cooldown_is_cleaned_up_under_a_hold() -> None:
    late = restore([execution(ended())], [run()], NOW + POLICY.cooldown, POLICY)
    assert (len(late.holds), len(late.unfinished)) == (1, 1)


def test_who_stood_in_line_stands_in_it_again() -> None:
    place = QueuePlace(position=1, holder="default/restart", since=NOW)
    waiting = execution(Status(attempt=1, queue=place), uid="w", key=Key("default", "w"))
    found = restore([execution(running()), waiting], [run()], NOW, POLICY)
    assert [(place.target, place.owner.uid) for place in found.places] == [(TARGET, "w")]


def test_of_two_claims_the_one_with_the_run_holds() -> None:
    other = execution(running(fence=99), uid="other", key=Key("default", "other"))
    found = restore([other, execution(running())], [run()], NOW, POLICY)
    assert [hold.owner.uid for hold in found.holds] == [UID]


def test_a_run_of_another_targets_name_proves_no_hold() -> None:
    """Somebody copied the annotations of an execution; his copy neither holds its target nor hides its own run."""
    copied = replace(run(), name="wfe-0000000000000000", uid="copy")
    assert restore([execution(Status())], [copied], NOW, POLICY).holds == ()
    found = restore([execution(Status())], [run(), copied], NOW, POLICY)
    assert [hold.fence for hold in found.holds] == [7]
    other = execution(running(), uid="other", key=Key("default", "other"))
    held = restore([other, execution(Status())], [run(owner="other"), copied], NOW, POLICY)
    assert [hold.owner.uid for hold in held.holds] == ["other"]


def test_run_of_a_vanished_execution_gives_nobody_a_hold() -> None:
    annotations = {ANNOTATION_UID: "gone", ANNOTATION_ATTEMPT: "1", ANNOTATION_FENCE: "9"}
    assert restore([], [replace(run(), annotations=annotations)], NOW, POLICY).holds == ()


def test_what_was_terminal_at_install_is_finished() -> None:
    found = restore([execution(Status(phase=Phase.COMPLETED))], [], NOW, POLICY)
    assert (found.holds, found.unfinished) == ((), ())


def test_pending_facts_keep_an_ended_execution_unfinished() -> None:
    status = replace(ended(), pending_facts=(Fact(FactType.COMPLETED, 1, NOW),))
    found = restore([execution(status)], [], NOW + POLICY.cooldown, POLICY)
    assert (found.holds, found.unfinished) == ((), (Key("default", "again"),))


def test_new_executions_stand_in_line_too_so_that_the_first_declared_goes_first() -> None:
    new = [execution(uid=uid, key=Key("default", uid)) for uid in ("n1", "n2")]
    found = restore(new, [], NOW, POLICY)
    assert [place.owner.uid for place in found.places] == ["n1", "n2"]
    invalid = execution(spec=spec(image=""))
    assert restore([invalid], [], NOW, POLICY).places == ()
