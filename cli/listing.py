"""`wfe get`: executions as kubectl prints them. The columns are those of deploy/crd.yaml. Pure, but for the command."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import yaml

from cli.access import as_json, open_access
from cli.options import Chosen, Output, common
from cli.table import short_age, table
from models.instants import read_instant
from models.names import GROUP, KIND
from tasks import clock


@click.command()
@click.argument("name", required=False)
@click.option("-l", "--selector", default="", metavar="LABELS", help="Only those with these labels.")
@common(*Output)
def get(name: str | None, selector: str, chosen: Chosen) -> None:
    """Show one execution, or all of a namespace."""
    access = open_access(chosen)
    if name:
        documents = [access.document(access.key(name))]
    else:
        documents = list(access.documents(selector))
        if not documents and chosen.output in (Output.TABLE, Output.WIDE, Output.NAME):
            where = f" in {access.namespace} namespace" if access.namespace else ""
            click.echo(f"No resources found{where}.", err=True)
            return
    click.echo(rendered(documents, chosen, clock.now(), single=bool(name)))


def rendered(documents: Sequence[Mapping[str, Any]], chosen: Chosen, now: datetime, *, single: bool) -> str:
    """Return objects in the chosen form."""
    match chosen.output:
        case Output.JSON:
            return json.dumps(_whole(documents, single), indent=4)
        case Output.YAML:
            return yaml.safe_dump(_whole(documents, single), sort_keys=True, allow_unicode=True).rstrip("\n")
        case Output.NAME:
            return "\n".join(f"{KIND.lower()}.{GROUP}/{document['metadata']['name']}" for document in documents)
        case Output.TABLE | Output.WIDE:
            return executions_table(documents, now, wide=chosen.output is Output.WIDE, namespaces=chosen.everywhere)


def executions_table(documents: Iterable[Mapping[str, Any]], now: datetime, *, wide: bool, namespaces: bool) -> str:
    """Return the table of `kubectl get wfe`."""
    headers = [
        *(["NAMESPACE"] if namespaces else []),
        *("NAME", "PHASE", "WORKFLOWID", "TARGET", "REASON", "DURATION"),
        *(["ATTEMPT", "NEXT"] if wide else []),
        "AGE",
    ]
    return table(headers, [_row(document, now, wide, namespaces) for document in documents])


def _row(document: Mapping[str, Any], now: datetime, wide: bool, namespaces: bool) -> list[str]:
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    created = read_instant(metadata.get("creationTimestamp"))
    return [
        *([metadata["namespace"]] if namespaces else []),
        metadata["name"],
        status.get("phase") or "",
        (spec.get("workflowRef") or {}).get("workflowId") or "",
        spec.get("targetResource") or "",
        status.get("reason") or "",
        status.get("duration") or "",
        *([str(status.get("attempt") or ""), status.get("nextAllowedExecution") or ""] if wide else []),
        short_age((now - created).total_seconds()) if created else "<unknown>",
    ]


def _whole(documents: Sequence[Mapping[str, Any]], single: bool) -> Any:
    items = [as_json(document) for document in documents]
    if single:
        return items[0]
    return {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
