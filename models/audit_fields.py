"""The fields of an audit event: the one source of lengths, enums and defaults.

The API checks by this table, the database columns take their widths from it and the OpenAPI document is written from
it, so that a value one of them takes is never refused by another. Lengths count characters (code points), as
PostgreSQL's `varchar(n)` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

PAST_WINDOW = timedelta(days=7)
FUTURE_WINDOW = timedelta(minutes=5)
EVENT_DATA_BYTES = 256 * 1024  # of its canonical JSON
EVENT_DATA_DEPTH = 10  # event_data itself is the first level
BATCH_SIZE = 500
BODY_BYTES = 10 * 1024 * 1024
LARGEST_INTEGER = 2**63 - 1  # a bigint column

CATEGORIES = ("gateway", "notification", "analysis", "signalprocessing", "workflow", "execution", "orchestration")
OUTCOMES = ("success", "failure", "pending")


class Kind(StrEnum):
    """What a field holds, by its JSON Schema type or format."""

    TEXT = "string"
    UUID = "uuid"
    INSTANT = "date-time"
    INTEGER = "integer"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the request. `default` says in words or text what stands in when it is absent."""

    name: str
    kind: Kind
    about: str
    required: bool = False
    shortest: int = 0
    longest: int = 0  # characters; 0 for kinds that have none
    allowed: tuple[str, ...] = ()
    default: str | None = None


FIELDS = (
    Field("event_id", Kind.UUID, "Idempotency key. Made by the server when absent."),
    Field("version", Kind.TEXT, "Version of the event's form, such as 1.0.", True, 1, 10),
    Field("event_type", Kind.TEXT, "What happened, such as workflow.started.", True, 1, 100),
    Field("event_timestamp", Kind.INSTANT, "When it happened: from 7 days back to 5 minutes ahead.", True),
    Field("event_category", Kind.TEXT, "Which part of the platform says it.", True, 1, 50, CATEGORIES),
    Field("event_action", Kind.TEXT, "The act, such as started.", True, 1, 50),
    Field("event_outcome", Kind.TEXT, "How the act ended.", True, 1, 20, OUTCOMES),
    Field("correlation_id", Kind.TEXT, "What ties the events of one remediation together.", True, 1, 255),
    Field("event_data", Kind.OBJECT, "The facts: at most 256 KiB of canonical JSON, nested at most 10 deep.", True),
    Field("actor_type", Kind.TEXT, "service or user.", longest=50, default="service"),
    Field("actor_id", Kind.TEXT, "Who acted.", longest=255, default="<event_category>-service"),
    Field("resource_type", Kind.TEXT, "Kind of what was acted on.", longest=100, default="<event_category>"),
    Field("resource_id", Kind.TEXT, "Name of what was acted on.", longest=255, default="<correlation_id>"),
    Field("namespace", Kind.TEXT, "Kubernetes namespace of the resource.", longest=253),
    Field("cluster_name", Kind.TEXT, "Cluster of the resource.", longest=255),
    Field("severity", Kind.TEXT, "How grave it is.", longest=20, default="info"),
    Field("duration_ms", Kind.INTEGER, "How long the act took, in milliseconds."),
    Field("parent_event_id", Kind.UUID, "The event this follows from; stored before, or earlier in the same batch."),
)

FIELD = {field.name: field for field in FIELDS}
