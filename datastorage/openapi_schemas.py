"""The schemas of the OpenAPI document: what bodies and answers look like; fields come from models."""

from __future__ import annotations

from typing import Any

from datastorage.problems import TITLES, TYPE_BASE
from models.audit_fields import FIELD, FIELDS, LARGEST_INTEGER, Field, Kind
from models.audit_hold import REASON_LENGTH, REQUESTER_LENGTH
from models.audit_upkeep import OWN_TYPES
from models.audit_values import UUID_FORM
from models.audit_verify import FaultKind

STORABLE = "^[^\\u0000]*$"
"""Any text that the database takes."""

_HASH = {"type": "string", "pattern": "^([0-9a-f]{2})+$"}
_WORDS = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"  # storable and not blank
_STORED = {
    "recorded_at": {"type": "string", "format": "date-time", "description": "When it was stored."},
    "chain_position": {"type": "integer", "minimum": 1, "description": "Its place in the chain of its correlation_id."},
    "chain_hash": {"type": "string", "description": "Hex of the hash over it, its place and the hash before it."},
}
_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 0}


def schemas() -> dict[str, Any]:
    """Return every schema by its name."""
    return _of_events() | _of_proof() | _of_holds() | _of_the_rest()


def ref(name: str) -> dict[str, Any]:
    """Point at a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(**properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _of_events() -> dict[str, Any]:
    return {
        "AuditEventRequest": {
            "type": "object",
            "required": [field.name for field in FIELDS if field.required],
            "properties": {field.name: _property(field) for field in FIELDS},
        },
        "AuditEvent": {
            "type": "object",
            "required": [field.name for field in FIELDS] + list(_STORED),
            "properties": {field.name: _property(field, stored=True) for field in FIELDS} | _STORED,
        },
        "EventAnswer": object_of(
            event_id={"type": "string", "format": "uuid"},
            event_timestamp={"type": "string", "format": "date-time"},
            message=_TEXT,
        ),
        "BatchAnswer": object_of(
            event_ids={"type": "array", "items": {"type": "string", "format": "uuid"}}, message=_TEXT
        ),
        "EventPage": object_of(
            data={"type": "array", "items": ref("AuditEvent")},
            pagination=ref("Pagination"),
            next_cursor={"type": ["string", "null"], "description": "Where the next page begins; null at the end."},
        ),
        "Pagination": object_of(limit=_NUMBER, offset=_NUMBER, total=_NUMBER, has_more={"type": "boolean"}),
    }


def _of_proof() -> dict[str, Any]:
    return {
        "Fault": {
            "type": "object",
            "required": ["kind", "detail"],
            "properties": {
                "kind": {"type": "string", "enum": [kind.value for kind in FaultKind]},
                "detail": _TEXT,
                "correlation_id": _TEXT,
                "event_id": _TEXT,
                "position": _NUMBER,
                "checkpoint": _NUMBER,
            },
        },
        "Checkpoint": object_of(
            **dict.fromkeys(("number", "changed", "chains", "events"), _NUMBER),
            **dict.fromkeys(("previous", "heads", "hash", "signature"), _HASH),
            form=_TEXT,
            key_id=_TEXT,
            taken_at={"type": "string", "format": "date-time"},
        ),
        "Removal": object_of(
            **dict.fromkeys(("number", "chains", "events", "stretches"), _NUMBER),
            **dict.fromkeys(("previous", "gone", "hash", "signature"), _HASH),
            form=_TEXT,
            key_id=_TEXT,
            month={"type": "string", "description": "Such as 2026-03: events stored in it, UTC."},
            removed_at={"type": "string", "format": "date-time"},
        ),
        "Verification": object_of(
            valid={"type": "boolean"},
            faults={"type": "array", "items": ref("Fault")},
            fault_count=_NUMBER,
            correlation_id={"type": ["string", "null"]},
            **dict.fromkeys(("chains", "events", "checkpoints"), _NUMBER),
            removals={"type": "array", "items": ref("Removal"), "description": "Months that retention removed."},
            newest_checkpoint={"anyOf": [ref("Checkpoint"), {"type": "null"}]},
            events_since={"type": ["integer", "null"], "description": "Events that no checkpoint has seen yet."},
            verified_at={"type": "string", "format": "date-time"},
        ),
    }


def _of_holds() -> dict[str, Any]:
    return {
        "HoldAsk": _hold_ask(),
        "Hold": object_of(
            correlation_id={"type": ["string", "null"]},
            everything={"type": "boolean"},
            reason=_TEXT,
            set_by={"type": "string", "description": "Whom the token stood for, or unverified:NAME."},
            requested_by={"type": ["string", "null"]},
            set_at={"type": "string", "format": "date-time"},
            events={"type": ["integer", "null"], "description": "Stored events of the chain; null for everything."},
        ),
    }


def _of_the_rest() -> dict[str, Any]:
    return {
        "Health": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": _TEXT, "database": _TEXT, "partitions_ahead": {"type": "integer", "minimum": -1}},
        },
        "Problem": _problem_schema(),
    }


def _hold_ask() -> dict[str, Any]:
    longest = FIELD["correlation_id"].longest
    chain = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": _WORDS, "description": "The chain."}
    reason = {"type": "string", "minLength": 1, "maxLength": REASON_LENGTH, "pattern": _WORDS, "description": "Why."}
    about = "Who asks, by his own word."
    requester = {"minLength": 1, "maxLength": REQUESTER_LENGTH, "pattern": _WORDS, "description": about}
    both = {"reason": reason, "requested_by": {"type": ["string", "null"], **requester}}
    one = {"correlation_id": chain, "everything": {"enum": [False, None]}}
    everything = {"correlation_id": {"type": "null"}, "everything": {"const": True}}
    return {
        "oneOf": [
            {"type": "object", "required": ["reason", "correlation_id"], "properties": both | one},
            {"type": "object", "required": ["reason", "everything"], "properties": both | everything},
        ]
    }


def _problem_schema() -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["field", "message"],
        "properties": {"index": {"type": "integer"}, "field": {"type": "string"}, "message": {"type": "string"}},
    }
    schema = object_of(
        type={"type": "string", "enum": [TYPE_BASE + slug for slug in TITLES]},
        title={"type": "string"},
        status={"type": "integer"},
        detail={"type": "string"},
        instance={"type": "string"},
    )
    schema["properties"] |= {
        "errors": {"type": "array", "items": error, "description": "Every bad field."},
        "event_id": {"type": "string", "format": "uuid", "description": "The id in conflict."},
        "index": {"type": "integer", "description": "Its place in the batch."},
    }
    return schema


def _property(field: Field, *, stored: bool = False) -> dict[str, Any]:
    kind = "string" if field.kind in (Kind.UUID, Kind.INSTANT) else field.kind.value
    always = field.required or (stored and (field.default is not None or field.name == "event_id"))
    schema: dict[str, Any] = {"type": kind if always else [kind, "null"], "description": field.about}
    if field.kind in (Kind.UUID, Kind.INSTANT):
        schema["format"] = field.kind.value
    if field.kind is Kind.UUID:
        schema["pattern"] = f"^{UUID_FORM}$"
    if field.kind is Kind.INTEGER:
        schema |= {"minimum": 0, "maximum": LARGEST_INTEGER}
    if field.allowed:
        schema["enum"] = list(field.allowed)
    elif field.longest:
        schema |= {"minLength": field.shortest, "maxLength": field.longest, "pattern": STORABLE}
    if field.name == "event_type" and not stored:
        schema["not"] = {"enum": sorted(OWN_TYPES)}  # what the service alone writes
    if field.default is not None and not stored:
        schema["description"] += f" Default: {field.default}."
    return schema
