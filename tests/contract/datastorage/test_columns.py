"""The columns hold what a request may say."""

from __future__ import annotations

from models.audit_fields import FIELDS
from models.tables import audit_events
from tests.unit.datastorage.test_audit_request import LENGTHS


def test_columns_are_as_wide_as_the_fields() -> None:
    widths = {name: audit_events.c[name].type.length for name, _, _ in LENGTHS}  # type: ignore[attr-defined]
    assert widths == {name: most for name, _, most in LENGTHS}
    for field in FIELDS:
        if field.allowed:
            assert max(map(len, field.allowed)) <= audit_events.c[field.name].type.length  # type: ignore[attr-defined]
