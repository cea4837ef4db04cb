"""`wfe audit verify`, `export`, `checkpoint`: proof that the audit is as it was written, by the service or offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx

from cli.access import open_access
from cli.errors import CommandError, UsageError
from cli.exported import DATA, MANIFEST, SIGNATURE, Found, verify_export
from cli.options import Chosen, Output, common
from datastorage.keys import PublicKeys, read_public_keys
from models.audit_checkpoint import Checkpoint, read_checkpoint
from models.audit_removal import read_removal
from tasks.adapters.authorities import Authorities
from tasks.adapters.bearer import Bearer
from tasks.adapters.deadline import Deadline, limited_transport

_PATIENCE = httpx.Timeout(10, read=300)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHOWN_FAULTS = 1000


@click.command()
@click.option("--correlation-id", metavar="ID", help="One chain only.")
@click.option("--all", "everything", is_flag=True, help="Everything; the default.")
@click.option("--export", "directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Verify an export, offline.")  # fmt: skip
@click.option("--public-key", "keys", multiple=True, type=_FILE, metavar="FILE", help="Whose signatures count (PEM).")
@click.option("--checkpoint", "seen", type=_FILE, metavar="FILE", help="A kept checkpoint, which must still be there.")
@common(Output.JSON)
def verify(
    correlation_id: str | None,
    everything: bool,
    directory: Path | None,
    keys: tuple[Path, ...],
    seen: Path | None,
    chosen: Chosen,
) -> None:
    """Compare the audit with its hashes and signatures, and name each place that is not as it was written.

    Without --export DataStorage verifies what it has; with it nothing is asked but the files.
    """
    if correlation_id and everything:
        raise UsageError("say --correlation-id or --all, not both")
    known = _kept(seen) if seen else None
    trusted = PublicKeys(())
    for path in keys:
        trusted |= read_public_keys("--public-key", str(path))
    if directory is None:
        report = _ask(chosen, correlation_id, known)
        _check_newest(report, trusted)
    else:
        report = _verified(directory, correlation_id, trusted, known)
    if chosen.output is Output.JSON:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for removal in report["removals"]:
            click.echo(_removed(removal))
        for fault in report["faults"]:
            click.echo(_line(fault))
    if report["fault_count"]:
        raise CommandError(f"the audit is not as it was written: {report['fault_count']} faults")
    if chosen.output is not Output.JSON:
        click.echo(_all_well(report, signed=bool(trusted) or directory is None))


@click.command()
@click.option("--from", "since", metavar="TIME", help="RFC 3339, YYYY-MM-DD, or how long ago (24h, 7d).")
@click.option("--to", "until", metavar="TIME", help="The same.  [default: now]")
@click.option(
    "--into", "directory", metavar="DIR", type=click.Path(path_type=Path), required=True, help="A new directory."
)
@common()
def export(since: str | None, until: str | None, directory: Path, chosen: Chosen) -> None:
    """Write what was stored in a span into files that anybody can verify with the public key.

    Each remediation with an event in the span goes out whole.
    """
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise CommandError(f"{directory}: {error.strerror}; name a new directory") from error
    span = {name: moment for name, moment in (("since", since), ("until", until)) if moment}
    last: dict[str, Any] = {}
    with asked(chosen, "GET", "export", params=span) as answer, (directory / DATA).open("wb") as data:
        for line in _lines(answer):
            if line.startswith(b'{"manifest"'):
                last = json.loads(line)
            else:
                data.write(line)
    if not last:
        raise CommandError("the export broke off: DataStorage did not send its end")
    (directory / MANIFEST).write_text(last["manifest"], encoding="utf-8")
    if last["signature"]:
        (directory / SIGNATURE).write_text(last["signature"] + "\n")
    lines = json.loads(last["manifest"])["lines"]
    click.echo(f"{directory}: {lines} lines, {'signed' if last['signature'] else 'NOT signed: DataStorage has no key'}")


@click.command()
@common()
def checkpoint(chosen: Chosen) -> None:
    """Have DataStorage sign the ends of all chains now, and print what it signed.

    Keep the output away from the database: `wfe audit verify --checkpoint FILE` shows when an older database was
    restored.
    """
    with asked(chosen, "POST", "checkpoints") as answer:
        answer.read()
        click.echo(json.dumps(answer.json()))


def _ask(chosen: Chosen, correlation_id: str | None, known: Checkpoint | None) -> dict[str, Any]:
    body: dict[str, Any] = {"correlation_id": correlation_id} if correlation_id else {}
    if known is not None:
        body["checkpoint"] = {"number": known.number, "hash": known.hash.hex()}
    with asked(chosen, "POST", "verify-chain", json=body) as answer:
        try:
            answer.read()
            report: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise CommandError("the verification broke off: DataStorage did not send its end") from error
    return report


def _check_newest(report: dict[str, Any], trusted: PublicKeys) -> None:
    """Look at the newest checkpoint and all stubs with keys of our own, not those that DataStorage trusts."""
    if not trusted:
        return
    for removal in map(read_removal, report["removals"]):
        if wrong := trusted.fault_of(removal):
            detail = f"the stub {removal.number}, which says that {removal.month} was removed: {wrong}"
            report["faults"].append({"kind": "removal", "detail": detail})
            report["fault_count"] += 1
    if not report["newest_checkpoint"]:
        return
    newest = read_checkpoint(report["newest_checkpoint"])
    if wrong := trusted.fault_of(newest):
        report["faults"].append({"kind": "checkpoint", "checkpoint": newest.number, "detail": wrong})
        report["fault_count"] += 1


def _verified(
    directory: Path, correlation_id: str | None, trusted: PublicKeys, known: Checkpoint | None
) -> dict[str, Any]:
    found = Found()
    faults: list[dict[str, Any]] = []
    count = 0
    for fault in verify_export(directory, trusted, found, known):
        if correlation_id and fault.correlation_id not in ("", correlation_id):
            continue
        count += 1
        if len(faults) < _SHOWN_FAULTS:
            faults.append(fault.document())
    return {
        "valid": not count,
        "correlation_id": correlation_id,
        "chains": found.chains,
        "events": found.events,
        "checkpoints": found.checkpoints,
        "removals": [removal.document() for removal in found.removals],
        "newest_checkpoint": found.newest.document() if found.newest else None,
        "events_since": found.events_since,
        "fault_count": count,
        "faults": faults,
    }


def _line(fault: dict[str, Any]) -> str:
    where = [str(fault["correlation_id"])] if fault.get("correlation_id") else []
    where += [f"event {fault['position']}"] if fault.get("position") else []
    where += [f"({fault['event_id']})"] if fault.get("event_id") else []
    where += [f"checkpoint {fault['checkpoint']}"] if fault.get("checkpoint") and not where else []
    return f"{' '.join(where) or 'audit'}: {fault['kind']}: {fault['detail']}"


def _removed(removal: dict[str, Any]) -> str:
    what = f"{removal['month']}: {removal['events']} events of {removal['chains']} chains"
    return f"{what} were removed by retention at {removal['removed_at']}, signed by key {removal['key_id']}"


def _all_well(report: dict[str, Any], *, signed: bool) -> str:
    told = f"OK: {report['events']} events in {report['chains']} chains are as they were written"
    newest = report["newest_checkpoint"]
    if newest is None:
        return f"{told}; no checkpoint has signed them"
    if not signed:
        return f"{told}; signatures were not looked at (--public-key FILE)"
    since = f", {report['events_since']} events came later" if report.get("events_since") else ""
    return f"{told}; checkpoint {newest['number']} of {newest['taken_at']} is signed by key {newest['key_id']}{since}"


def _kept(path: Path) -> Checkpoint:
    try:
        return read_checkpoint(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"--checkpoint={path}: allowed is what `wfe audit checkpoint` printed") from error


@contextmanager
def asked(chosen: Chosen, method: str, route: str, **arguments: Any) -> Iterator[httpx.Response]:
    """Send a request to DataStorage and give its answer, not yet read. Raises CommandError, Transient."""
    settings = open_access(chosen).settings.audit
    bearer = Bearer(settings.reading_token_file)
    url = f"{settings.datastorage_url}/api/v1/audit/{route}"
    transport = limited_transport(Deadline(), Authorities(settings.ca_file))
    try:
        with (
            httpx.Client(timeout=_PATIENCE, trust_env=False, transport=transport, auth=bearer) as client,
            client.stream(method, url, **arguments) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise CommandError(f"DataStorage answered {answer.status_code}: {_problem(answer)}")
            yield answer
    except httpx.HTTPError as error:
        raise CommandError(f"DataStorage did not answer: {url}: {error}") from error


def _problem(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _lines(answer: httpx.Response) -> Iterator[bytes]:
    """Yield whole lines of an answer, each with its end."""
    rest = b""
    for part in answer.iter_bytes():
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest
