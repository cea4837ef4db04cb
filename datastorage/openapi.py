"""The OpenAPI 3.1 document: operations, parameters, answers. Written out, because bodies are read and checked by hand.

Its schemas are in datastorage/openapi_schemas.py.
"""

from __future__ import annotations

from typing import Any

from datastorage.callers import Right
from datastorage.openapi_schemas import STORABLE, object_of, ref, schemas
from datastorage.problems import MEDIA_TYPE
from datastorage.query import AGO, DEFAULT_LIMIT, FILTERS, LARGEST_LIMIT, ORDERS
from models.audit_fields import BATCH_SIZE, LARGEST_INTEGER

_AUDIT = "/api/v1/audit"
_EVENTS = f"{_AUDIT}/events"
_TOKENS = f"A token has one or more rights, and an operation names the one that it needs: {', '.join(Right)}."
_MOMENT = "An RFC 3339 date-time, YYYY-MM-DD (its first instant, UTC), or how long ago, such as 24h or 7d. Inclusive."
_DIGEST = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_FILTER = {"type": "string", "minLength": 1, "pattern": STORABLE}
_SPAN = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": f"^({AGO})$"},
    ]
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
            "/health/live": {"get": _operation("live", "Is the process alive?", {"200": _json("Yes.", ref("Health"))})},
            "/metrics": {"get": _operation("metrics", "Prometheus metrics.", {"200": _metrics()})},
        },
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": _TOKENS}},
        },
    }


def _write_one() -> dict[str, Any]:
    answers = {
        "201": _json("Stored.", ref("EventAnswer")),
        "200": _json("Stored before with the same content; nothing was written.", ref("EventAnswer")),
        **_problems(400, 409, 413, 500, 503),
    }
    return _operation("writeEvent", "Store one event.", answers, Right.WRITE) | {
        "requestBody": _body(ref("AuditEventRequest"))
    }


def _write_batch() -> dict[str, Any]:
    batch = {"type": "array", "items": ref("AuditEventRequest"), "minItems": 1, "maxItems": BATCH_SIZE}
    answers = {"201": _json("All are stored.", ref("BatchAnswer")), **_problems(400, 409, 413, 500, 503)}
    return _operation("writeEvents", "Store all events of an array, or none.", answers, Right.WRITE) | {
        "requestBody": _body(batch)
    }


def _find() -> dict[str, Any]:
    answers = {
        "200": _json("One page; newest first, unless asked otherwise.", ref("EventPage")),
        **_problems(400, 500, 503),
    }
    return _operation("findEvents", "Find events.", answers, Right.READ) | {"parameters": _parameters()}


def _verify() -> dict[str, Any]:
    chain = {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 255,
        "description": "One chain; absent: everything.",
    }
    known = object_of(number={"type": "integer", "minimum": 1, "maximum": LARGEST_INTEGER}, hash=_DIGEST)
    known["type"] = ["object", "null"]
    about = "A checkpoint seen before, which must still be there."
    body = {"type": "object", "properties": {"correlation_id": chain, "checkpoint": {**known, "description": about}}}
    answers = {"200": _json("What was found.", ref("Verification")), **_problems(400, 413, 500, 503)}
    operation = _operation("verifyChain", "Compare what is stored with its hashes and signatures.", answers, Right.READ)
    return operation | {"requestBody": {**_body(body), "required": False}}


def _checkpoint() -> dict[str, Any]:
    answers = {
        "201": _json("Taken.", ref("Checkpoint")),
        "200": _json("Nothing was stored since this one.", ref("Checkpoint")),
        **_problems(409, 500, 503),
    }
    return _operation("takeCheckpoint", "Sign the ends of all chains.", answers, Right.READ)


def _export() -> dict[str, Any]:
    lines = {"description": "JSON Lines; the last holds manifest and signature.", "content": {}}
    lines["content"] = {"application/jsonl": {"schema": {"type": "string"}}}
    moments = [_parameter(name, _SPAN, _MOMENT) for name in ("since", "until")]
    summary = "Export whole chains, each with an event stored in the span."
    answers = {"200": lines, **_problems(400, 500, 503)}
    return _operation("export", summary, answers, Right.READ) | {"parameters": moments}


def _hold() -> dict[str, Any]:
    answers = {
        "201": _json("Set.", ref("Hold")),
        "200": _json("Set before, for the same reason.", ref("Hold")),
        **_problems(400, 409, 413, 500, 503),
    }
    summary = "Set a legal hold: what is on hold is not removed by retention."
    return _operation("setHold", summary, answers, Right.HOLD) | {"requestBody": _body(ref("HoldAsk"))}


def _lift() -> dict[str, Any]:
    answers = {"200": _json("Lifted; this is what it was.", ref("Hold")), **_problems(400, 404, 413, 500, 503)}
    return _operation("liftHold", "Lift a legal hold.", answers, Right.HOLD) | {"requestBody": _body(ref("HoldAsk"))}


def _holds() -> dict[str, Any]:
    holds = _json("All of them.", object_of(holds={"type": "array", "items": ref("Hold")}))
    return _operation("listHolds", "List the legal holds.", {"200": holds, **_problems(500, 503)}, Right.READ)


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
    answers = {"200": _json(words[0].capitalize() + ".", ref("Health"))}
    return _operation(name, summary, answers | {"503": _json(words[1].capitalize() + ".", ref("Health"))})


def _operation(name: str, summary: str, answers: dict[str, Any], right: Right | None = None) -> dict[str, Any]:
    operation = {"operationId": name, "summary": summary, "responses": answers}
    # The right stands where OpenAPI names roles. Where the service runs without tokens, none is asked for.
    return operation | {"security": [{"bearer": [right.value]}, {}]} if right else operation


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
    content = {MEDIA_TYPE: {"schema": ref("Problem")}}
    answers = {
        str(status): {"description": about[status], "content": content} for status in sorted({*statuses, 401, 403})
    }
    answers["401"] = answers["401"] | {"headers": {"WWW-Authenticate": {"schema": {"type": "string"}}}}
    if "503" in answers:
        answers["503"] = answers["503"] | {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
    return answers
