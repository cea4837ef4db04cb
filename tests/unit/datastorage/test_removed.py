"""Months, how long they are kept, and chains over what retention removed, as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastorage.settings import parse_settings
from models.audit_chain import GENESIS, Head, content_hash, extended
from models.audit_hold import HoldAsk, read_ask
from models.audit_months import Keep, Month, month_of, months_ahead, read_keep
from models.audit_removal import Removal, RemovalWalk, StretchDigest, read_removal
from models.audit_stretch import Stretch, find_among, read_stretch
from models.audit_verify import ChainWalk, Fault, Placed, compare_end
from models.errors import Misconfigured

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_months_follow_each_other_over_the_year() -> None:
    assert str(Month(2026, 11).after(3)) == "2027-02"
    assert str(Month(2026, 1).after(-1)) == "2025-12"
    assert Month(2026, 12).end == Month(2027, 1).begin == datetime(2027, 1, 1, tzinfo=UTC)
    east = datetime.fromisoformat("2026-03-01T01:30:00+02:00")
    assert month_of(east) == Month(2026, 2)


@pytest.mark.parametrize(("there", "ahead"), [([], -1), ([4], -1), ([3], 0), ([3, 4, 5], 2), ([3, 5, 6], 0)])
def test_months_ahead_are_counted_without_a_gap(there: list[int], ahead: int) -> None:
    assert months_ahead([Month(2026, number) for number in there], Month(2026, 3)) == ahead


@pytest.mark.parametrize(
    ("keep", "at", "over"),
    [
        ("", "9999-01-01", False),
        ("30d", "2026-03-02T23:59:59", False),
        ("30d", "2026-03-03", True),
        ("1y", "2027-01-31T23:59:59", False),
        ("1y", "2027-02-01", True),
        ("7y", "2033-01-31", False),
        ("7y", "2033-02-01", True),
    ],
)
def test_a_month_is_over_when_all_of_it_is_older(keep: str, at: str, over: bool) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert read_keep(keep).is_over(Month(2026, 1), now) is over
    assert str(read_keep(keep)) == keep


@pytest.mark.parametrize("keep", ["29d", "0y", "101y", "7", "y", "-1y", "1y6m", "forever", "99999d"])
def test_a_wrong_time_is_one_line(keep: str) -> None:
    with pytest.raises(Misconfigured, match=rf"^retention.keep={keep}: allowed is a time such as 90d or 7y"):
        parse_settings({"retention": {"keep": keep}, "checkpoint": {"key_file": "k"}}, {}, {})


def test_retention_needs_a_key_and_is_off_by_default() -> None:
    assert not parse_settings(None, {}, {}).retention.keep
    with pytest.raises(Misconfigured, match=r"^retention.keep=7y: allowed only with checkpoint.key_file"):
        parse_settings({"retention": {"keep": "7y"}}, {}, {})
    kept = parse_settings({"retention": {"keep": "7y"}, "checkpoint": {"key_file": "k"}}, {}, {}).retention.keep
    assert kept == Keep(years=7)


def test_who_asks_is_the_token_or_not_proven() -> None:
    ask = read_ask({"correlation_id": "rr-1", "reason": "why", "requested_by": "alice"})
    assert (ask.by("auditor"), ask.by(None)) == ("auditor", "unverified:alice")
    assert HoldAsk("", "why", None).by(None) == "unverified:unknown"


def chain(length: int) -> list[Placed]:
    head, placed = Head(), []
    for number in range(1, length + 1):
        content, at = content_hash(f"event {number}"), NOW + timedelta(microseconds=number)
        head = extended(head, content, at)
        placed.append(Placed("rr-1", f"id-{number}", head, content, at, number))
    return placed


def stretch(events: list[Placed], first: int, last: int) -> Stretch:
    before = events[first - 2].place.hash if first > 1 else GENESIS
    return Stretch("rr-1", first, last, before, events[last - 1].place.hash)


def faults(events: list[Placed], stretches: list[Stretch], recorded: Head) -> list[Fault]:
    """Go over what is left as a verification does."""
    found: list[Fault] = []
    find = find_among(stretches)
    walk = ChainWalk(lambda name, at: found.extend(compare_end(name, at, recorded, find)), find)
    for event in events:
        found.extend(walk.follow(event))
    walk.finish()
    return found if events else list(compare_end("rr-1", Head(), recorded, find))


@st.composite
def removed(draw: st.DrawFn) -> tuple[list[Placed], list[Stretch]]:
    """Draw a chain and stretches of it, next to each other or apart, at its beginning, its end, or all of it."""
    events = chain(draw(st.integers(1, 12)))
    cuts = sorted(draw(st.sets(st.integers(0, len(events)), min_size=2)))
    bounds = [(low + 1, high) for low, high in pairwise(cuts)]
    return events, [stretch(events, *bound) for bound in bounds if draw(st.booleans())]


@given(removed())
def test_what_was_removed_with_its_hashes_is_no_fault(case: tuple[list[Placed], list[Stretch]]) -> None:
    events, stretches = case
    gone = {position for each in stretches for position in range(each.first, each.last + 1)}
    left = [event for event in events if event.place.position not in gone]
    assert faults(left, stretches, events[-1].place) == []


@given(removed(), st.data())
def test_one_event_more_gone_or_another_hash_is_a_fault(
    case: tuple[list[Placed], list[Stretch]], data: st.DataObject
) -> None:
    events, stretches = case
    gone = {position for each in stretches for position in range(each.first, each.last + 1)}
    left = [event for event in events if event.place.position not in gone]
    if left:
        victim = data.draw(st.sampled_from(left))
        assert faults([event for event in left if event is not victim], stretches, events[-1].place)
    if stretches:
        at = data.draw(st.integers(0, len(stretches) - 1))
        change = data.draw(st.sampled_from([{"before": b"\1" * 32}, {"hash": b"\1" * 32}]))
        wrong = [replace(each, **change) if n == at else each for n, each in enumerate(stretches)]  # type: ignore[arg-type]
        assert faults(left, wrong, events[-1].place)
        assert faults(left, [each for n, each in enumerate(stretches) if n != at], events[-1].place)


def stubs(count: int) -> list[tuple[Removal, StretchDigest]]:
    made: list[tuple[Removal, StretchDigest]] = []
    previous = GENESIS
    for number in range(1, count + 1):
        digest = StretchDigest()
        digest.add(Stretch("rr-1", number, number, GENESIS, GENESIS))
        month = str(Month(2026, number))
        stub = Removal(number, month, NOW, previous, 1, 1, digest.count, digest.value(), "key", signature=b"signature")
        made.append((stub, digest))
        previous = stub.hash
    return made


def told(cases: list[tuple[Removal, StretchDigest]]) -> list[str]:
    walk = RemovalWalk(lambda stub: "" if stub.signature == b"signature" else "it is forged")
    return [fault.detail for stub, digest in cases for fault in walk.follow(stub, digest)]


def test_stubs_are_a_chain_of_their_own() -> None:
    first, second, third = stubs(3)
    assert told([first, second, third]) == []
    assert "stubs 2 to 2 are missing" in told([first, third])[0]
    assert "one was replaced" in told([(replace(first[0], chains=2), first[1]), second, third])[0]
    assert "it is forged" in told([(first[0].signed(b"other"), first[1])])[0]
    assert "was changed" in told([(first[0], second[1])])[0]


def test_what_is_written_is_read_again() -> None:
    [(stub, _)] = stubs(1)
    assert read_removal(stub.document()) == stub
    gone = Stretch("rr-1", 1, 4, GENESIS, b"\2" * 32)
    assert read_stretch(gone.document()) == gone
    with pytest.raises(ValueError, match="this is no record of a removal"):
        read_removal({"number": 1})
