"""Names that others rely on, against values worked out elsewhere; instants as the API server gets them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from models.instants import format_instant
from models.names import label_value, labels_and_annotations
from models.target import Target, run_name


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("default/deployment/test-app", "wfe-196200272a2c85fd"),
        ("default/Deployment/test-app", "wfe-210f4bf1d2739c46"),
        ("payment/deployment/payment-api", "wfe-cf0cc089293b1165"),
        ("node/worker-node-1", "wfe-ac45b7d6911e97a5"),
        ("default/deployment/cooldown-app-1", "wfe-1e7a206788c3b9bc"),
    ],
)
def test_a_run_is_named_after_the_digest_of_its_target(target: str, name: str) -> None:
    assert run_name(target) == name
    assert Target.parse(target).run_name == name


def test_slashes_of_a_label_become_two_underscores() -> None:
    assert label_value("payment/deployment/payment-api") == "payment__deployment__payment-api"
    assert label_value("node/worker-node-1") == "node__worker-node-1"


def test_a_label_of_63_characters_is_whole_and_a_longer_one_ends_in_the_digest_of_its_text() -> None:
    assert label_value("a" * 63) == "a" * 63
    assert label_value("a" * 64) == "a" * 54 + "-ffe054fe"
    long = label_value("remediate-" + "a" * 60)
    assert long == "remediate-" + "a" * 44 + "-03a62c14"
    assert len(long) == 63
    # The slashes count as what they become; the digest is that of the text itself.
    assert label_value("payment/deployment/" + "x" * 42) == "payment__deployment__" + "x" * 42
    assert label_value("payment/deployment/" + "x" * 45) == "payment__deployment__" + "x" * 33 + "-c5670837"


def test_what_a_label_cannot_hold_stands_in_an_annotation_of_the_same_key() -> None:
    texts = {"a/whole": "restart", "a/slashes": "node/one", "a/long": "remediate-" + "a" * 60}
    labels, annotations = labels_and_annotations(texts)
    assert labels == {
        "a/whole": "restart",
        "a/slashes": "node__one",
        "a/long": "remediate-" + "a" * 44 + "-03a62c14",
    }
    assert annotations == {"a/slashes": "node/one", "a/long": "remediate-" + "a" * 60}


WHOLE = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "written"),
    [
        (WHOLE, "2026-03-01T12:00:00Z"),
        (WHOLE + timedelta(microseconds=1), "2026-03-01T12:00:01Z"),
        (WHOLE + timedelta(microseconds=499_999), "2026-03-01T12:00:01Z"),
        (WHOLE + timedelta(microseconds=999_999), "2026-03-01T12:00:01Z"),
        (WHOLE.replace(second=59, minute=59, microsecond=1), "2026-03-01T13:00:00Z"),
        (datetime(2026, 3, 1, 14, 0, 0, 1, tzinfo=timezone(timedelta(hours=2))), "2026-03-01T12:00:01Z"),
    ],
)
def test_an_instant_is_written_in_whole_seconds_rounded_up(instant: datetime, written: str) -> None:
    assert format_instant(instant) == written
