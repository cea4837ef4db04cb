"""Parameter values that must not be told, and texts of others that quote them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.confidential import BLANK, CUT_FROM, SHORTEST, confidential, without


@pytest.mark.parametrize(
    "name", ["password", "DB_PASS", "clientSecret", "API_TOKEN", "aws-credentials", "apiKey", "API_KEY", "private.key"]
)
def test_a_name_that_looks_like_a_secret_makes_its_value_one(name: str) -> None:
    assert confidential({name: "s3cr3t", "REPLICAS": "seven"}) == ("s3cr3t",)


def test_a_short_value_blanks_nothing() -> None:
    assert confidential({"TOKEN": "1", "PASSWORD": "abc", "SECRET": ""}) == ()


@pytest.mark.parametrize(
    "quoted",
    [
        'p"a<ss>\n w&d$(X)\\é',
        json.dumps('p"a<ss>\n w&d$(X)\\é'),
        json.dumps('p"a<ss>\n w&d$(X)\\é', ensure_ascii=False),
        'p\\"a\\u003css\\u003e\\n w\\u0026d$(X)\\\\é',
        'p"a<ss>  w&d$(X)\\é',
        'p"a<ss> w&d$(X)\\é',
        'p"a<ss>\n w&d$$(X)\\é',
    ],
)
def test_a_value_is_blanked_as_others_quote_it(quoted: str) -> None:
    text = without(f"denied: TOKEN is {quoted}, which is old", confidential({"TOKEN": 'p"a<ss>\n w&d$(X)\\é'}))
    assert text in (f"denied: TOKEN is {BLANK}, which is old", f'denied: TOKEN is "{BLANK}", which is old')


def test_a_value_within_another_leaves_nothing_of_it() -> None:
    assert without("x abcdefgh y abcd", ("abcd", "abcdefgh")) == f"x {BLANK} y {BLANK}"


_texts = st.text(st.characters(exclude_characters="*"))


@given(_texts.filter(lambda text: len(text) >= SHORTEST), _texts, _texts)
def test_a_value_is_gone_wherever_it_stands(secret: str, before: str, after: str) -> None:
    text = without(f"{before}{secret}{after}{secret}", (secret,))
    assert secret not in text
    assert BLANK in text


def test_what_is_left_of_a_value_at_the_end_of_a_cut_text_is_blanked() -> None:
    secret = "correct-horse-battery-staple"
    for told in range(4, len(secret)):
        text = f"{'x' * CUT_FROM} {secret[:told]}"
        assert without(text, (secret,)) == f"{'x' * CUT_FROM} {BLANK}"
        assert without(f"{text}…", (secret,)) == f"{'x' * CUT_FROM} {BLANK}"
    assert without("it is correct", (secret,)) == "it is correct", "nobody cuts a short text"
