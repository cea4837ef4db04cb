"""Duration text: what Go reads, we read; what Go prints, we print."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("1m30s", timedelta(seconds=90)),
        ("30m1h", timedelta(hours=1, minutes=30)),
        ("1.5h", timedelta(minutes=90)),
        (".5s", timedelta(milliseconds=500)),
        ("1.s", timedelta(seconds=1)),
        ("250ms", timedelta(milliseconds=250)),
        ("0.1s", timedelta(milliseconds=100)),
        ("100us", timedelta(microseconds=100)),
        ("100µs", timedelta(microseconds=100)),
        ("999ns", timedelta(0)),
        ("-5m", timedelta(minutes=-5)),
        ("+5m", timedelta(minutes=5)),
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
    ],
)
def test_reads_what_go_reads(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "+",
        "5",
        "5 m",
        " 5m",
        "5m ",
        "m",
        "5d",
        "1h30",
        "five",
        ".s",
        "1..5s",
        "--5s",
        "5m\n",
        "0\n",
        "٣s",
        "1e3s",
    ],
)
def test_refuses_the_rest_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration") as refusal:
        parse_duration(text)
    assert "\n" not in str(refusal.value)
    assert "1h30m" in str(refusal.value)


def test_refuses_more_than_go_can_hold() -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration("9999999999h")


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(ValueError, match="not a duration") as refusal:
        parse_duration("x" * 5000)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=59, milliseconds=999), "59s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(minutes=5), "5m0s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(days=2, seconds=1), "48h0m1s"),
        (timedelta(seconds=-90), "-1m30s"),
        (timedelta(milliseconds=-1), "0s"),
    ],
)
def test_prints_what_go_prints(duration: timedelta, expected: str) -> None:
    assert format_duration(duration) == expected


@given(st.integers(min_value=-(10**9), max_value=10**9))
def test_whole_seconds_survive_a_round_trip(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.text(alphabet="0123456789.+-hmsunµ ", max_size=20))
def test_any_text_is_read_or_refused_with_value_error(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_duration(text), timedelta)
