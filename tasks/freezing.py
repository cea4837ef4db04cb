"""The pass of the freeze: see to it that a freeze and its end are audited once each, then let its object go.

It has a key of its own in the queue, so that it is repeated like the pass of an execution until nothing is left to do.
Nothing here decides what may start: every worker looks at the object itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from models.audit import AuditEvent
from models.freeze import FREEZE_AUDITED, FREEZE_FINALIZER, unfrozen_at
from models.freeze_audit import freeze_event, unfreeze_event
from tasks.adapters.freeze_object import Document, finalizers
from tasks.parts import Parts

AUDIT_GRACE = timedelta(seconds=30)
"""How long the object of an ended freeze waits for DataStorage."""
LOOK_AGAIN = timedelta(seconds=5)

log = logging.getLogger(__name__)


def tend_freeze(now: datetime, parts: Parts) -> datetime | None:
    """Bring the freeze one step further; return when it wants the next look. Raises Conflict and Transient."""
    document = parts.freeze.read()
    if document is None:
        return None
    ended = unfrozen_at(document)
    if ended is not None:
        return _see_off(document, ended, now, parts)
    if FREEZE_FINALIZER not in finalizers(document):
        document = parts.freeze.guard(document)
    if FREEZE_AUDITED in (document["metadata"].get("annotations") or {}):
        return None
    if not _send(document, [freeze_event(document, verified=parts.surroundings.requester_verified())], parts):
        parts.freeze.note_audited(document)
        return None
    return now + LOOK_AGAIN


def _see_off(document: Document, ended: datetime, now: datetime, parts: Parts) -> datetime | None:
    if FREEZE_FINALIZER not in finalizers(document):
        return None
    verified = parts.surroundings.requester_verified()
    events = [unfreeze_event(document, ended, verified=verified)]
    if FREEZE_AUDITED not in (document["metadata"].get("annotations") or {}):
        events.insert(0, freeze_event(document, verified=verified))
    unsent = _send(document, events, parts)
    if unsent and now < ended + AUDIT_GRACE:
        return min(now + LOOK_AGAIN, ended + AUDIT_GRACE)
    if unsent:
        log.error("freeze let go before DataStorage took: %s", ", ".join(e.body["event_type"] for e in unsent))
    parts.freeze.let_go(document)
    return None


def _send(document: Document, events: Sequence[AuditEvent], parts: Parts) -> list[AuditEvent]:
    """Buffer what DataStorage has neither taken nor refused for good; return it."""
    uid = document["metadata"]["uid"]
    answered = parts.outbox.acked(uid) | parts.outbox.problems([event.event_id for event in events]).keys()
    unsent = [event for event in events if event.event_id not in answered]
    pairs = [(event.event_id, event.encoded()) for event in unsent]
    if parts.outbox.append(uid, parts.freeze.key, pairs, awaited=True):
        parts.publisher.flush_soon()
    return unsent
