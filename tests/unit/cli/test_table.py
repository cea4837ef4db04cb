"""Tables and ages as kubectl prints them."""

from __future__ import annotations

import pytest

from cli.table import short_age, table


def test_columns_are_aligned_and_lines_do_not_end_in_spaces() -> None:
    text = table(("NAME", "REASON", "AGE"), [("a", "", "5s"), ("longer", "Busy", "")])
    assert text == "NAME     REASON   AGE\na                 5s\nlonger   Busy"


# From the tests of k8s.io/apimachinery/pkg/util/duration.
@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (1.9, "1s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (599, "9m59s"),
        (601, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (28799, "7h59m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (691199, "7d23h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (63158400, "2y1d"),
        (252287999, "7y364d"),
        (252288000, "8y"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert short_age(seconds) == text
