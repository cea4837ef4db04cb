"""Verifying an export with nothing but public keys: neither the service nor its database is asked.

An export is a directory: `audit.jsonl` (holds, events, checkpoints), `manifest.json` (what was signed) and
`manifest.sig`. What a checkpoint says of a chain is looked up in a temporary index on disk, so the size of an export
does not matter.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from datastorage.keys import PublicKeys
from models.audit_chain import Head, content_hash
from models.audit_checkpoint import Checkpoint, read_checkpoint
from models.audit_held import HoldWalk, Terms, chain_of, unset
from models.audit_removal import Removal, RemovalWalk, StretchDigest, read_removal
from models.audit_stretch import Stretch, read_stretch
from models.audit_values import canonical_json, parse_rfc3339
from models.audit_verify import ChainWalk, CheckpointWalk, Fault, FaultKind, Named, Placed, compare_end

DATA, MANIFEST, SIGNATURE = "audit.jsonl", "manifest.json", "manifest.sig"


@dataclass(slots=True)
class Found:
    """What a verification went over, filled as it goes."""

    events: int = 0
    chains: int = 0
    newest: Checkpoint | None = None
    events_since: int = 0
    known_there: bool = False
    checkpoints: int = 0
    removals: list[Removal] = field(default_factory=list)


class _Index:
    """Where each event of the export stands: a chain's place, and the hash of the event there."""

    def __init__(self, file: str) -> None:
        self._database = sqlite3.connect(file)
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE there (chain TEXT, position INTEGER, hash BLOB, PRIMARY KEY (chain, position))"
        )
        self._database.execute(
            "CREATE TABLE gone (stub INTEGER, chain TEXT, first INTEGER, last INTEGER, before BLOB, hash BLOB)"
        )
        self._database.execute("CREATE INDEX gone_by_chain ON gone (chain, first)")
        self._database.execute("CREATE TABLE held (held TEXT PRIMARY KEY, terms TEXT, seen INTEGER)")

    def add(self, event: Placed) -> None:
        row = (event.correlation_id, event.place.position, event.place.hash)
        self._database.execute("INSERT OR IGNORE INTO there VALUES (?, ?, ?)", row)

    def find(self, chain: str, position: int) -> bytes | None:
        query = "SELECT hash FROM there WHERE chain = ? AND position = ?"
        row = self._database.execute(query, (chain, position)).fetchone()
        return None if row is None else bytes(row[0])

    def end(self, chain: str) -> Head:
        query = "SELECT position, hash FROM there WHERE chain = ? ORDER BY position DESC LIMIT 1"
        row = self._database.execute(query, (chain,)).fetchone()
        return Head() if row is None else Head(row[0], bytes(row[1]))

    def has(self, chain: str) -> bool:
        return self._database.execute("SELECT 1 FROM there WHERE chain = ? LIMIT 1", (chain,)).fetchone() is not None

    def add_gone(self, stub: int, stretch: Stretch) -> None:
        row = (stub, stretch.correlation_id, stretch.first, stretch.last, stretch.before, stretch.hash)
        self._database.execute("INSERT INTO gone VALUES (?, ?, ?, ?, ?, ?)", row)

    def forget_gone(self, stub: int) -> None:
        self._database.execute("DELETE FROM gone WHERE stub = ?", (stub,))

    def find_gone(self, chain: str, first: int) -> Stretch | None:
        """Return the stretch of a chain that begins at a position."""
        query = "SELECT chain, first, last, before, hash FROM gone WHERE chain = ? AND first = ?"
        row = self._database.execute(query, (chain, first)).fetchone()
        return None if row is None else Stretch(*row)

    def gone_behind(self, chain: str, position: int) -> bool:
        query = "SELECT 1 FROM gone WHERE chain = ? AND first > ? LIMIT 1"
        return self._database.execute(query, (chain, position)).fetchone() is not None

    def add_hold(self, held: str, terms: Terms) -> None:
        row = (held, json.dumps(terms.document()))
        self._database.execute("INSERT OR REPLACE INTO held VALUES (?, ?, 0)", row)

    def find_hold(self, held: str) -> Terms | None:
        """Return what stands for a chain, or for everything, and remember that it was asked for."""
        query = "UPDATE held SET seen = 1 WHERE held = ? RETURNING terms"
        row = self._database.execute(query, (held,)).fetchone()
        return None if row is None else Terms(**json.loads(row[0]))

    def unseen_holds(self) -> list[str]:
        """Return those that nobody asked for."""
        return [held for (held,) in self._database.execute("SELECT held FROM held WHERE seen = 0 ORDER BY held")]

    def covers(self, chain: str, end: Head) -> bytes | None:
        """Return the hash of a place that was removed, the given one where it went with the stretch around it."""
        query = "SELECT last, hash FROM gone WHERE chain = ? AND ? BETWEEN first AND last"
        row = self._database.execute(query, (chain, end.position)).fetchone()
        if row is None:
            return None
        return bytes(row[1]) if row[0] == end.position else end.hash

    def close(self) -> None:
        self._database.close()


class ExportWalk:
    """One walk over the lines of an export."""

    def __init__(
        self, trusted: PublicKeys, index: _Index, found: Found, *, whole: bool, holds: bool, known: Checkpoint | None
    ) -> None:
        """Without `holds` the export has none of them, and nothing is said of them."""
        self._index = index
        self._known = known.hash if known else None
        self._whole = whole
        self._found = found
        self._chains = ChainWalk(removed=index.find_gone)
        self._holds = HoldWalk(index.find_hold, index.gone_behind) if holds else None
        self._removals = RemovalWalk(trusted.fault_of if trusted else lambda _removal: "")
        self._removal: tuple[Removal, StretchDigest] | None = None
        self._checkpoints = CheckpointWalk(trusted.fault_of if trusted else lambda _checkpoint: "")
        self._pending: Checkpoint | None = None
        self._heads: list[Named] = []

    def follow(self, document: dict[str, Any]) -> Iterator[Fault]:
        """Look at the next line."""
        if "gone" in document:
            self._follow_gone(read_stretch(document["gone"]))
            return
        yield from self._close_removal()
        if "hold" in document:
            terms = dict(document["hold"])
            self._index.add_hold(terms.pop("correlation_id"), Terms(**terms))
        elif "removal" in document:
            self._removal = read_removal(document["removal"]), StretchDigest()
        elif "event" in document:
            event = _placed(document)
            faults = list(self._chains.follow(event))
            yield from faults
            self._index.add(event)
            if self._holds is not None:
                yield from self._holds.follow(event, document["event"], doubted=bool(faults))
        elif "end" in document:
            chain, position, value = document["end"]
            recorded = Head(position, bytes.fromhex(value))
            yield from compare_end(chain, self._index.end(chain), recorded, self._index.find_gone)
        elif "checkpoint" in document:
            yield from self._close_checkpoint()
            self._pending = read_checkpoint(document["checkpoint"])
        else:
            chain, position, value = document["head"]
            end = Head(int(position), bytes.fromhex(value))
            there = self._index.find(chain, position) or self._index.covers(chain, end)
            # Only a whole export has every chain that a checkpoint names.
            left_out = there is None and not self._whole and not self._index.has(chain)
            self._heads.append((str(chain), end, end.hash if left_out else there))

    def finish(self) -> Iterator[Fault]:
        """Say that no more lines come."""
        self._chains.finish()
        yield from self._close_removal()
        yield from self._close_holds()
        yield from self._close_checkpoint()
        found, last = self._found, self._checkpoints.last
        found.events, found.chains = self._chains.events, self._chains.chains
        found.checkpoints, found.newest = self._checkpoints.count, last
        found.removals = self._removals.good
        written = found.events + sum(removal.events for removal in found.removals)
        found.events_since = max(written - last.events, 0) if last else written

    def _follow_gone(self, stretch: Stretch) -> None:
        if self._removal is None:
            raise ValueError("it belongs to no stub")
        removal, digest = self._removal
        digest.add(stretch)
        self._index.add_gone(removal.number, stretch)

    def _close_removal(self) -> Iterator[Fault]:
        if self._removal is None:
            return
        removal, digest = self._removal
        self._removal = None
        yield from self._removals.follow(removal, digest)
        if removal not in self._removals.good:
            self._index.forget_gone(removal.number)

    def _close_holds(self) -> Iterator[Fault]:
        if self._holds is None:
            return
        yield from self._holds.finish()
        for held in self._index.unseen_holds():
            if self._whole or self._index.has(chain_of(held)):
                yield unset(held)

    def _close_checkpoint(self) -> Iterator[Fault]:
        if self._pending is not None:
            yield from self._checkpoints.follow(self._pending, self._heads)
            self._found.known_there |= self._pending.hash == self._known
        self._pending, self._heads = None, []


def verify_export(
    directory: Path, trusted: PublicKeys, found: Found, known: Checkpoint | None = None
) -> Generator[Fault]:
    """Yield every fault of an export. Raises CommandError when it is none."""
    manifest = yield from _manifest(directory, trusted)
    digest = hashlib.sha256()
    count = 0
    with tempfile.TemporaryDirectory(prefix="wfe-verify-") as scratch, closing(_Index(f"{scratch}/index")) as index:
        whole = manifest.get("since") is None and manifest.get("until") is None
        holds = manifest.get("holds") is True
        walk = ExportWalk(trusted, index, found, whole=whole, holds=holds, known=known)
        try:
            with (directory / DATA).open("rb") as lines:
                for line in lines:
                    digest.update(line)
                    count += 1
                    try:
                        yield from walk.follow(json.loads(line))
                    except (ValueError, KeyError, TypeError, AttributeError):
                        yield Fault(kind=FaultKind.EXPORT, detail=f"line {count} of {DATA} cannot be read")
        except OSError as error:
            raise CommandError(f"{directory / DATA}: {error.strerror}") from error
        yield from walk.finish()
    if (count, digest.hexdigest()) != (manifest.get("lines"), manifest.get("sha256")):
        detail = f"{DATA} is not the one the manifest describes: {count} lines, {manifest.get('lines')} were exported"
        yield Fault(kind=FaultKind.EXPORT, detail=detail)
    if known is not None and not found.known_there:
        detail = f"checkpoint {known.number}, seen before, is not there: an older database, or one written anew"
        yield Fault(kind=FaultKind.CHECKPOINT, detail=detail, checkpoint=known.number)


def _manifest(directory: Path, trusted: PublicKeys) -> Generator[Fault, None, dict[str, Any]]:
    try:
        text = (directory / MANIFEST).read_bytes()
        manifest: dict[str, Any] = json.loads(text)
        signature = (directory / SIGNATURE).read_text().strip() if (directory / SIGNATURE).exists() else ""
        form = manifest["form"]
    except OSError as error:
        raise CommandError(f"{directory / MANIFEST}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{directory / MANIFEST}: this is no manifest") from error
    if form != "kubernaut audit export 1":
        raise CommandError(f"{directory / MANIFEST}: its form {form} is not known")
    if trusted:
        try:
            wrong = trusted.fault(str(manifest.get("key_id") or ""), text, bytes.fromhex(signature))
        except ValueError:
            wrong = "its signature cannot be read"
        if wrong:
            yield Fault(kind=FaultKind.EXPORT, detail=f"{MANIFEST}: {wrong}")
    return manifest


def _placed(document: dict[str, Any]) -> Placed:
    event = document["event"]
    place = Head(int(document["position"]), bytes.fromhex(document["hash"]))
    content = content_hash(canonical_json(event))
    return Placed(event["correlation_id"], event["event_id"], place, content, parse_rfc3339(document["recorded_at"]))
