"""Instants and spans on their way to Redis: never earlier than they were, exact on the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tasks.redis_scripts.instants import from_ms, from_us, span_ms, to_ms

INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive
MILLISECOND = timedelta(milliseconds=1)


@given(INSTANTS)
def test_a_wake_is_never_earlier_than_its_instant(instant: datetime) -> None:
    assert timedelta() <= from_ms(to_ms(instant)) - instant < MILLISECOND


@given(st.integers(0, 2**53))
def test_microseconds_are_exact(microseconds: int) -> None:
    assert from_us(microseconds) - from_us(0) == timedelta(microseconds=microseconds)
    assert from_us(microseconds).utcoffset() == timedelta()


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=1000)))
def test_a_span_is_never_shorter_than_it_was(span: timedelta) -> None:
    assert timedelta() <= span_ms(span) * MILLISECOND - span < MILLISECOND
