"""`wfe plan -f FILE`: what would happen now if these executions were declared. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import click
import yaml

from cli.access import Access, open_access
from cli.errors import CommandError, UsageError
from cli.forecast import Forecast, Outcome, forecast, target_words
from cli.freezing import frozen_now
from cli.options import Chosen, Output, common
from cli.plain import one_line
from cli.plan_checks import Check, State, engine_served, run_check, server_check, surroundings_checks
from cli.table import table
from models.errors import Permanent, Transient
from models.execution import Execution, read_execution
from models.freeze import Freeze
from models.hold import Busy, Free, HoldView
from models.instants import format_instant
from models.keys import Key
from models.names import API_VERSION, KIND
from models.observed import Observed
from models.target import run_name
from models.validation import find_fault
from tasks import clock
from tasks.adapters.engines import ClusterRuns

_UID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found about one declared execution, and what would become of it."""

    key: Key
    target: str
    run: str
    checks: Sequence[Check]
    forecast: Forecast


@click.command()
@click.option(
    "-f", "--filename", "file", type=click.File(encoding="utf-8"), required=True, help="Manifests; - for stdin."
)
@common(Output.JSON, Output.YAML)
def plan(file: IO[str], chosen: Chosen) -> None:
    """Say what would happen now if this was applied; change nothing.

    Exit 1 when one of the executions would not run.
    """
    documents = list(_manifests(file))
    access = open_access(chosen)
    plans = [_plan(access, document) for document in documents]
    match chosen.output:
        case Output.JSON:
            click.echo(json.dumps([_document(each) for each in plans], indent=1))
        case Output.YAML:
            click.echo(yaml.safe_dump([_document(each) for each in plans], sort_keys=False).rstrip("\n"))
        case _:
            click.echo("\n\n".join(plan_text(each) for each in plans))
    if not all(each.forecast.good for each in plans):
        raise SystemExit(1)


def plan_text(found: Plan) -> str:
    """Return a plan for reading."""
    rows = [(check.name, check.state.value, check.detail) for check in found.checks]
    head = one_line(f"{found.key}: {found.forecast.sentence}.")
    return f"{head}\n{table(('CHECK', 'STATE', 'DETAIL'), rows)}\nNothing was changed."


def _manifests(file: IO[str]) -> Iterator[dict[str, Any]]:
    name = Path(getattr(file, "name", "-")).name
    try:
        documents = [document for document in yaml.safe_load_all(file) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise UsageError(f"{name}: not YAML{f' at line {mark.line + 1}' if mark else ''}") from None
    for document in documents:
        if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
            kind = document.get("kind") if isinstance(document, dict) else type(document).__name__
            raise UsageError(f"{name}: holds a {kind}; allowed are {API_VERSION} {KIND} objects")
        yield document
    if not documents:
        raise UsageError(f"{name}: holds no {KIND}")


def _plan(access: Access, document: dict[str, Any]) -> Plan:
    given = document.get("metadata")
    metadata = given if isinstance(given, Mapping) else {}
    namespace = str(metadata.get("namespace") or access.namespace or access.kubeconfig.namespace)
    if access.chosen.namespace and namespace != access.chosen.namespace:
        raise UsageError(f"the manifest says namespace {namespace}, -n says {access.chosen.namespace}")
    key = Key(namespace, str(metadata.get("name") or metadata.get("generateName") or ""))
    server, answer, exists = server_check(access, key, {**document, "metadata": {**metadata, "namespace": namespace}})
    if exists:
        there = access.execution(key)
        become = Forecast(Outcome.EXISTS, f"nothing happens: it exists already and is {there.status.phase}")
        return Plan(key, there.spec.target, run_name(there.spec.target), (server,), become)
    if answer is None:
        return Plan(key, "", "", (server,), Forecast(Outcome.REFUSED, "the API server refuses it"))
    return _accepted(access, key, read_execution(_whole(answer)), server)


def _whole(answer: dict[str, Any]) -> dict[str, Any]:
    """Fill in what an object only gets when it is stored."""
    metadata = {"uid": _UID, "resourceVersion": "1", "creationTimestamp": format_instant(clock.now())}
    return {**answer, "metadata": {**metadata, **answer["metadata"]}}


def _accepted(access: Access, key: Key, execution: Execution, server: Check) -> Plan:
    name = run_name(execution.spec.target)
    fault = find_fault(execution.spec)
    if fault is not None:
        become = forecast(execution, Observed(hold=Free()), clock.now(), access.policy)
        return Plan(key, execution.spec.target, name, (server, Check("Spec", State.FAIL, fault)), become)
    engine = execution.spec.engine
    checks = [
        server,
        Check("Spec", State.OK, "valid"),
        Check("Run", State.OK, f"{name} in namespace {access.settings.execution.namespace}, engine {engine}"),
        *surroundings_checks(access, engine),
        run_check(access, execution),
    ]
    freeze, frozen = _freeze(access)
    target, become = _target(access, execution, Observed(hold=Free(), frozen=frozen))
    if freeze.state is State.UNKNOWN and become.outcome is Outcome.STARTS:
        become = replace(become, sentence=f"{become.sentence}, unless everything is frozen, which you may not ask")
    return Plan(key, execution.spec.target, name, (*checks, freeze, target), become)


def _freeze(access: Access) -> tuple[Check, Freeze | None]:
    try:
        frozen = frozen_now(access)
    except (Permanent, CommandError) as refused:
        return Check("Freeze", State.UNKNOWN, str(refused)), None
    if frozen is None:
        return Check("Freeze", State.OK, "nothing is frozen"), None
    told = f"frozen by {frozen.by} since {format_instant(frozen.since)}: {frozen.reason}"
    return Check("Freeze", State.WAIT, told), frozen


def _target(access: Access, execution: Execution, observed: Observed) -> tuple[Check, Forecast]:
    try:
        now = access.queue.now()
        hold, waiting = _hold(access, execution)
    except Transient as fault:
        become = Forecast(Outcome.UNKNOWN, "it cannot be said: Redis does not answer, so nothing starts")
        return Check("Target", State.UNKNOWN, str(fault)), become
    except Permanent as refused:
        return _not_ours(refused)
    try:
        seen = _seen(access, execution, replace(observed, hold=hold))
    except Permanent as refused:
        return _not_ours(refused)
    words = target_words(seen, waiting, now, access.policy)
    state = State.OK if words == "free" else State.WAIT
    return Check("Target", state, words), forecast(execution, seen, now, access.policy)


def _not_ours(refused: Permanent) -> tuple[Check, Forecast]:
    become = Forecast(Outcome.UNKNOWN, "it cannot be said: you may not see who has its target or what runs for it")
    return Check("Target", State.UNKNOWN, str(refused)), become


def _seen(access: Access, execution: Execution, observed: Observed) -> Observed:
    """Add what the API server tells of the target's holder and of runs of its name."""
    runs, engine = ClusterRuns(access.cluster, access.settings.execution.namespace), execution.spec.engine
    name = run_name(execution.spec.target)
    run = runs.get(name, engine) or runs.get(name, engine.other)
    owner = access.find(run.execution_key) if run is not None and run.execution_key is not None else None
    lives = owner is not None and run is not None and owner.uid == run.execution_uid
    return replace(
        observed,
        holder=access.find(observed.hold.holder) if isinstance(observed.hold, Busy) else None,
        run=run,
        run_owner_lives=lives,
        run_owner_elsewhere=lives and owner is not None and owner.spec.target != execution.spec.target,
        remains=0 if run is not None else runs.remains(name),
        engine_available=engine_served(access, engine),
    )


def _hold(access: Access, execution: Execution) -> tuple[HoldView, int]:
    """Return the hold as a newcomer would find it, at the end of the line, and how many wait."""
    hold = access.holds.look(execution.spec.target, execution.uid)
    waiting = len(access.holds.line(execution.spec.target))
    if not isinstance(hold, Busy):
        return hold, waiting
    holder = access.find(hold.holder)
    if holder is None or holder.uid != hold.holder_uid:
        return Free(), waiting
    return replace(hold, position=waiting + 1), waiting


def _document(found: Plan) -> dict[str, Any]:
    return {
        "execution": str(found.key),
        "target": found.target,
        "run": found.run,
        "outcome": found.forecast.outcome.value,
        "sentence": found.forecast.sentence,
        "checks": [{**asdict(check), "state": check.state.value} for check in found.checks],
    }
