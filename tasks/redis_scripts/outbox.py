"""The outbox: audit events on their way to DataStorage, buffered so that they travel in batches.

Does not send anything, and is not the record: an execution keeps its facts in its status until the event of each was
acknowledged, so an emptied Redis only has them appended again. DataStorage refuses doubles by event id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from models.answers import Answers
from models.keys import Key
from tasks.redis_scripts.connection import Client, translated
from tasks.redis_scripts.instants import span_ms
from tasks.redis_scripts.scripts import Argument, Scripts

_NAMES = (
    *("append", "take", "acknowledge", "trim", "quarantine", "requeue"),
    *("begin_turn", "keep_turn", "end_turn", "delay", "wait"),
)
_PARTS = ("order", "body", "source", "quarantine", "turn", "backoff")
_REMEMBERED = timedelta(days=1)
_FIRST_WAIT = timedelta(seconds=1)
_LONGEST_WAIT = timedelta(minutes=1)
_NONE: Mapping[str, Any] = {}


class Item(NamedTuple):
    """One buffered audit event and the execution it tells of."""

    event_id: str
    key: Key
    uid: str
    body: bytes
    awaited: bool = True
    """Whether the execution wants a pass as soon as this is acknowledged."""


class SetAside(NamedTuple):
    """One audit event that DataStorage refused for good, and what it said."""

    event_id: str
    key: Key
    problem: str
    body: str
    document: Mapping[str, Any] = {}
    """Its problem document (RFC 9457)."""


class Trouble(NamedTuple):
    """Why the flush is put off: failures in a row, and what was said at the last of them."""

    failures: int = 0
    words: str = ""


class Outbox:
    """The buffer of audit events. Every method is one round trip and raises Transient."""

    def __init__(self, client: Client, prefix: str, clock: str = "") -> None:
        self._client = client
        self._prefix = prefix
        keys = [f"{prefix}:due", *(f"{prefix}:outbox:{part}" for part in _PARTS)]
        self._scripts = Scripts(client, "outbox", _NAMES, keys, clock)

    def append(self, execution_uid: str, key: Key, events: Sequence[tuple[str, bytes]], *, awaited: bool = True) -> int:
        """Buffer (event id, JSON) in their order; return how many were not known here before.

        Not `awaited`: the acknowledgement is remembered but wakes nobody, because nothing would be done about it yet.
        """
        if not events:
            return 0
        parts = (part for event in events for part in event)
        return int(self._run("append", execution_uid, str(key), int(awaited), *parts))

    def take(self, limit: int) -> list[Item]:
        """Return the oldest events, first first; they stay until they are acknowledged."""
        reply = self._run("take", limit)
        return [_item(*row) for row in zip(reply[::3], reply[1::3], reply[2::3], strict=True)]

    def acknowledge(self, items: Iterable[Item]) -> list[Key]:
        """Drop what DataStorage has stored; return the executions that are due by it and want a kick."""
        parts = [part for item in items for part in (item.event_id, item.uid, str(item.key) if item.awaited else "")]
        if not parts:
            return []
        return [Key.parse(text.decode()) for text in self._run("acknowledge", span_ms(_REMEMBERED), *parts)]

    def acked(self, uid: str) -> frozenset[str]:
        """Return the ids of an execution's events that DataStorage has and that were not trimmed yet."""
        with translated():
            members: Any = self._client.smembers(f"{self._prefix}:acked:{uid}")
        return frozenset(member.decode() for member in members)

    def answers(self, uid: str, event_ids: Sequence[str]) -> Answers:
        """Return what became of an execution's events: acknowledged, or refused for good and with which words."""
        with translated():
            pipe = self._client.pipeline(transaction=False)
            pipe.smembers(f"{self._prefix}:acked:{uid}")
            pipe.hmget(f"{self._prefix}:outbox:quarantine", list(event_ids))
            members, records = pipe.execute()
        return Answers(frozenset(member.decode() for member in members), _problems(event_ids, records))

    def trimmed(self, uid: str, event_ids: Iterable[str] = ()) -> None:
        """Forget acknowledgements whose facts the status no longer has: those given, or all of the execution."""
        self._run("trim", uid, *event_ids)

    def quarantine(self, item: Item, problem: str, document: Mapping[str, Any] = _NONE) -> None:
        """Set aside one event that DataStorage refuses for good; its execution gets due, the sweep kicks it.

        One that another flusher saw stored meanwhile is not: `document` is about an earlier try.
        """
        body = item.body.decode(errors="replace")
        record = {"uid": item.uid, "key": str(item.key), "problem": problem, "document": document, "body": body}
        self._run("quarantine", item.event_id, item.uid, str(item.key), json.dumps(record))

    def problems(self, event_ids: Sequence[str]) -> Mapping[str, str]:
        """Return, of these events, those in quarantine, with what DataStorage said."""
        if not event_ids:
            return {}
        with translated():
            records: Any = self._client.hmget(f"{self._prefix}:outbox:quarantine", list(event_ids))
        return _problems(event_ids, records)

    def size(self) -> int:
        """Count the buffered events."""
        with translated():
            return int(self._client.zcard(f"{self._prefix}:outbox:order"))

    def quarantined(self) -> int:
        """Count the events in quarantine."""
        with translated():
            return int(self._client.hlen(f"{self._prefix}:outbox:quarantine"))

    def set_aside(self) -> list[SetAside]:
        """Return the events in quarantine, by execution and id."""
        with translated():
            records: Any = self._client.hgetall(f"{self._prefix}:outbox:quarantine")
        return sorted((_aside(*item) for item in records.items()), key=lambda each: (str(each.key), each.event_id))

    def requeue(self, event_ids: Sequence[str]) -> list[str]:
        """Put events back from the quarantine into the buffer; return those that were there."""
        return [event_id.decode() for event_id in self._run("requeue", *event_ids)] if event_ids else []

    def flush_turn(self, ttl: timedelta) -> str | None:
        """Become the one flusher for at most `ttl`; return the token that ends the turn, None when another is at it."""
        token = self._run("begin_turn", span_ms(ttl))
        return None if token is None else token.decode()

    def keep_turn(self, token: str, ttl: timedelta) -> bool:
        """Let our turn last `ttl` from now; False when it had run out."""
        return bool(self._run("keep_turn", token, span_ms(ttl)))

    def end_turn(self, token: str) -> bool:
        """End our turn; False when it had run out."""
        return bool(self._run("end_turn", token))

    def delay_flush(self, at_least: timedelta | None = None, share: float = 1.0, words: str = "") -> timedelta:
        """Put off the next flush for all workers; return the wait.

        It is a `share` of what doubles with each failure in a row, from 1 s to 1 min: drawn evenly from 0 to 1 this is
        full jitter. `at_least` is what DataStorage asked for, `words` what it said.
        """
        least = span_ms(at_least or timedelta())
        wait = self._run(
            "delay", span_ms(_FIRST_WAIT), span_ms(_LONGEST_WAIT), share, least, words.encode("utf-8", "replace")
        )
        return timedelta(milliseconds=wait)

    def trouble(self) -> Trouble:
        """Return why the flush is put off; no failures when the last one went well."""
        with translated():
            found: Any = self._client.hmget(f"{self._prefix}:outbox:backoff", ["failures", "words"])
        failures, words = found
        return Trouble(int(failures or 0), (words or b"").decode(errors="replace"))

    def flush_succeeded(self) -> None:
        """Forget failures and what is left of the wait."""
        with translated():
            self._client.delete(f"{self._prefix}:outbox:backoff")

    def flush_wait(self) -> timedelta:
        """Return how long the flush is still put off; zero when it may begin."""
        return timedelta(milliseconds=self._run("wait"))

    def flush_allowed(self) -> bool:
        """Say whether the flush may begin."""
        return not self.flush_wait()

    def _run(self, name: str, *arguments: Argument) -> Any:
        return self._scripts(name, self._prefix, *arguments)


def _problems(event_ids: Sequence[str], records: Iterable[bytes | None]) -> dict[str, str]:
    found = zip(event_ids, records, strict=True)
    return {event_id: json.loads(record)["problem"] for event_id, record in found if record}


def _item(event_id: bytes, source: bytes, body: bytes) -> Item:
    uid, key, awaited = source.decode().split(" ")
    return Item(event_id.decode(), Key.parse(key), uid, body, awaited == "1")


def _aside(event_id: bytes, text: bytes) -> SetAside:
    record = json.loads(text)
    return SetAside(
        event_id.decode(), Key.parse(record["key"]), record["problem"], record["body"], record.get("document", {})
    )
