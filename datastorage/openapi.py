"""The OpenAPI 3.1 document. Written out here, because bodies are read and checked by hand; fields come from models."""

from __future__ import annotations

from typing import Any

from datastorage.problems import MEDIA_TYPE, TITLES, TYPE_BASE
from datastorage.query import AGO, DEFAULT_LIMIT, FILTERS, LARGEST_LIMIT, ORDERS
from models.audit_fields import BATCH_SIZE, FIELD, FIELDS, LARGEST_INTEGER, Field, Kind
from models.audit_hold import REASON_LENGTH, REQUESTER_LENGTH
from models.audit_values import UUID_FORM
from models.audit_verify import FaultKind

_AUDIT = "/api/v1/audit"
_EVENTS = f"{_AUDIT}/events"
_MOMENT = "An RFC 3339 date-time, YYYY-MM-DD (its first instant, UTC), or how long ago, such as 24h or 7d. Inclusive."
_HASH = {"type": "string", "pattern": "^([0-9a-f]{2})+$"}
_DIGEST = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_STORABLE = "^[^\\u0000]*$"
_WORDS = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"  # storable and not blank
_FILTER = {"type": "string", "minLength": 1, "pattern": _STORABLE}
_SPAN = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": f"^({AGO})$"},
    ]
}
_STORED = {
    "recorded_at": {"type": "string", "format": "date-time", "description": "When it was stored."},
    "chain_position": {"type": "integer", "minimum": 1, "description": "Its place in the chain of its correlation_id."},
    "chain_hash": {"type": "string", "description": "Hex of the hash over it, its place and the hash before it."},
}


def document() -> dict[str, Any]:
    """Return the whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DataStorage",
            "version": "1.0.0",
            "description": "Stores the audit events of the platform and finds them again.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            _EVENTS: {"post": _write_one(), "get": _find()},
            f"{_EVENTS}/batch": {"post": _write_batch()},
            f"{_AUDIT}/verify-chain": {"post": _verify()},
            f"{_AUDIT}/checkpoints": {"post": _checkpoint()},
            f"{_AUDIT}/export": {"get": _export()},
            f"{_AUDIT}/holds": {"post": _hold(), "get": _holds()},
            f"{_AUDIT}/holds/lift": {"post": _lift()},
            "/health": {"get": _health("health", "Does the database answer?", ["healthy", "unhealthy"])},
            "/health/ready": {"get": _health("ready", "Is the schema the latest, too?", ["ready", "not ready"])},
            "/health/live": {
                "get": _operation("live", "Is the process alive?", {"200": _json("Yes.", _ref("Health"))})
            },
            "/metrics": {"get": _operation("metrics", "Prometheus metrics.", {"200": _metrics()})},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _write_one() -> dict[str, Any]:
    answers = {
        "201": _json("Stored.", _ref("EventAnswer")),
        "200": _json("Stored before with the same content; nothing was written.", _ref("EventAnswer")),
        **_problems(400, 409, 413, 500, 503),
    }
    return _operation("writeEvent", "Store one event.", answers) | {"requestBody": _body(_ref("AuditEventRequest"))}


def _write_batch() -> dict[str, Any]:
    batch = {"type": "array", "items": _ref("AuditEventRequest"), "minItems": 1, "maxItems": BATCH_SIZE}
    answers = {"201": _json("All are stored.", _ref("BatchAnswer")), **_problems(400, 409, 413, 500, 503)}
    return _operation("writeEvents", "Store all events of an array, or none.", answers) | {"requestBody": _body(batch)}


def _find() -> dict[str, Any]:
    answers = {
        "200": _json("One page; newest first, unless asked otherwise.", _ref("EventPage")),
        **_problems(400, 500, 503),
    }
    return _operation("findEvents", "Find events.", answers) | {"parameters": _parameters()}


def _verify() -> dict[str, Any]:
    chain = {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 255,
        "description": "One chain; absent: everything.",
    }
    known = _object(number={"type": "integer", "minimum": 1, "maximum": LARGEST_INTEGER}, hash=_DIGEST)
    known["type"] = ["object", "null"]
    about = "A checkpoint seen before, which must still be there."
    body = {"type": "object", "properties": {"correlation_id": chain, "checkpoint": {**known, "description": about}}}
    answers = {"200": _json("What was found.", _ref("Verification")), **_problems(400, 413, 500, 503)}
    operation = _operation("verifyChain", "Compare what is stored with its hashes and signatures.", answers)
    return operation | {"requestBody": {**_body(body), "required": False}}


def _checkpoint() -> dict[str, Any]:
    answers = {
        "201": _json("Taken.", _ref("Checkpoint")),
        "200": _json("Nothing was stored since this one.", _ref("Checkpoint")),
        **_problems(409, 500, 503),
    }
    return _operation("takeCheckpoint", "Sign the ends of all chains.", answers)


def _export() -> dict[str, Any]:
    lines = {"description": "JSON Lines; the last holds manifest and signature.", "content": {}}
    lines["content"] = {"application/jsonl": {"schema": {"type": "string"}}}
    moments = [_parameter(name, _SPAN, _MOMENT) for name in ("since", "until")]
    summary = "Export whole chains, each with an event stored in the span."
    answers = {"200": lines, **_problems(400, 500, 503)}
    return _operation("export", summary, answers) | {"parameters": moments}


def _hold() -> dict[str, Any]:
    answers = {
        "201": _json("Set.", _ref("Hold")),
        "200": _json("Set before, for the same reason.", _ref("Hold")),
        **_problems(400, 409, 413, 500, 503),
    }
    summary = "Set a legal hold: what is on hold is not removed by retention."
    return _operation("setHold", summary, answers) | {"requestBody": _body(_ref("HoldAsk"))}


def _lift() -> dict[str, Any]:
    answers = {"200": _json("Lifted; this is what it was.", _ref("Hold")), **_problems(400, 404, 413, 500, 503)}
    return _operation("liftHold", "Lift a legal hold.", answers) | {"requestBody": _body(_ref("HoldAsk"))}


def _holds() -> dict[str, Any]:
    holds = _json("All of them.", _object(holds={"type": "array", "items": _ref("Hold")}))
    return _operation("listHolds", "List the legal holds.", {"200": holds, **_problems(500, 503)})


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


def _parameters() -> list[dict[str, Any]]:
    parameters = [
        _parameter(name, {"type": "string", "enum": list(allowed)} if allowed else {**_FILTER})
        for name, allowed in FILTERS.items()
    ]
    parameters += [_parameter(name, _SPAN, _MOMENT) for name in ("since", "until")]
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": DEFAULT_LIMIT}
    offset = {"type": "integer", "minimum": 0, "maximum": LARGEST_INTEGER, "default": 0}
    token = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}
    cursor = _parameter("cursor", token, "The next_cursor of the page before; instead of offset.")
    order = _parameter("order", {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]}, "Which come first.")
    return [*parameters, _parameter("limit", limit), _parameter("offset", offset), cursor, order]


def _parameter(name: str, schema: dict[str, Any], about: str = "Exact match.") -> dict[str, Any]:
    described = {} if schema.get("type") == "integer" else {"description": about}
    return {"name": name, "in": "query", "required": False, **described, "schema": schema}


def _health(name: str, summary: str, words: list[str]) -> dict[str, Any]:
    answers = {"200": _json(words[0].capitalize() + ".", _ref("Health"))}
    return _operation(name, summary, answers | {"503": _json(words[1].capitalize() + ".", _ref("Health"))})


def _operation(name: str, summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    operation = {"operationId": name, "summary": summary, "responses": answers}
    # Where the service runs without tokens, none is asked for.
    return operation | {"security": [{"bearer": []}, {}]} if "401" in answers else operation


def _metrics() -> dict[str, Any]:
    return {"description": "Text exposition.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _problems(*statuses: int) -> dict[str, Any]:
    about = {
        401: "No token, one that is not known, or not one but several.",
        403: "The token does not have the right.",
        400: "The body or a parameter breaks the contract.",
        404: "There is no such legal hold.",
        409: "It conflicts with what is there: a taken event_id, a hold, or no key or nothing to sign.",
        413: "The body is too large.",
        500: "The database refused.",
        503: "The database cannot be reached, or nobody can say whose token it is; see Retry-After.",
    }
    content = {MEDIA_TYPE: {"schema": _ref("Problem")}}
    answers = {
        str(status): {"description": about[status], "content": content} for status in sorted({*statuses, 401, 403})
    }
    answers["401"] = answers["401"] | {"headers": {"WWW-Authenticate": {"schema": {"type": "string"}}}}
    if "503" in answers:
        answers["503"] = answers["503"] | {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
    return answers


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas() -> dict[str, Any]:
    text = {"type": "string"}
    number = {"type": "integer", "minimum": 0}
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
        "EventAnswer": _object(
            event_id={"type": "string", "format": "uuid"},
            event_timestamp={"type": "string", "format": "date-time"},
            message=text,
        ),
        "BatchAnswer": _object(
            event_ids={"type": "array", "items": {"type": "string", "format": "uuid"}}, message=text
        ),
        "EventPage": _object(
            data={"type": "array", "items": _ref("AuditEvent")},
            pagination=_ref("Pagination"),
            next_cursor={"type": ["string", "null"], "description": "Where the next page begins; null at the end."},
        ),
        "Pagination": _object(limit=number, offset=number, total=number, has_more={"type": "boolean"}),
        "Fault": {
            "type": "object",
            "required": ["kind", "detail"],
            "properties": {
                "kind": {"type": "string", "enum": [kind.value for kind in FaultKind]},
                "detail": text,
                "correlation_id": text,
                "event_id": text,
                "position": number,
                "checkpoint": number,
            },
        },
        "Checkpoint": _object(
            **dict.fromkeys(("number", "changed", "chains", "events"), number),
            **dict.fromkeys(("previous", "heads", "hash", "signature"), _HASH),
            form=text,
            key_id=text,
            taken_at={"type": "string", "format": "date-time"},
        ),
        "Removal": _object(
            **dict.fromkeys(("number", "chains", "events", "stretches"), number),
            **dict.fromkeys(("previous", "gone", "hash", "signature"), _HASH),
            form=text,
            key_id=text,
            month={"type": "string", "description": "Such as 2026-03: events stored in it, UTC."},
            removed_at={"type": "string", "format": "date-time"},
        ),
        "Verification": _object(
            valid={"type": "boolean"},
            faults={"type": "array", "items": _ref("Fault")},
            fault_count=number,
            correlation_id={"type": ["string", "null"]},
            **dict.fromkeys(("chains", "events", "checkpoints"), number),
            removals={"type": "array", "items": _ref("Removal"), "description": "Months that retention removed."},
            newest_checkpoint={"anyOf": [_ref("Checkpoint"), {"type": "null"}]},
            events_since={"type": ["integer", "null"], "description": "Events that no checkpoint has seen yet."},
            verified_at={"type": "string", "format": "date-time"},
        ),
        "HoldAsk": _hold_ask(),
        "Hold": _object(
            correlation_id={"type": ["string", "null"]},
            everything={"type": "boolean"},
            reason=text,
            set_by={"type": "string", "description": "Whom the token stood for, or unverified:NAME."},
            requested_by={"type": ["string", "null"]},
            set_at={"type": "string", "format": "date-time"},
            events={"type": ["integer", "null"], "description": "Stored events of the chain; null for everything."},
        ),
        "Health": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": text, "database": text, "partitions_ahead": {"type": "integer", "minimum": -1}},
        },
        "Problem": _problem_schema(),
    }


def _problem_schema() -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["field", "message"],
        "properties": {"index": {"type": "integer"}, "field": {"type": "string"}, "message": {"type": "string"}},
    }
    schema = _object(
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


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


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
        schema |= {"minLength": field.shortest, "maxLength": field.longest, "pattern": _STORABLE}
    if field.default is not None and not stored:
        schema["description"] += f" Default: {field.default}."
    return schema
