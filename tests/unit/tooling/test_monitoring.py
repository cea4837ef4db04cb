"""Board and alerts ask for metrics that exist, add processes up rightly, and lead to commands that are understood."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import promql_parser as promql
import pytest
import yaml
from prometheus_client import CollectorRegistry

from cli.main import wfe
from datastorage.admitting import certificate_gauges, token_file_gauge
from datastorage.api_server import ApiServer
from datastorage.metrics import Metrics as DataStorageMetrics
from datastorage.settings import KubernetesSettings
from tasks.metrics import Metrics
from watcher.gauges import ClusterGauges, Stored
from watcher.health import register_streams

ROOT = Path(__file__).parents[3]
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = json.loads((ROOT / "deploy" / "monitoring" / "board.json").read_text())["panels"]
RUNBOOK = (ROOT / "docs" / "alerts.md").read_text()
TABLE = (ROOT / "docs" / "metrics.md").read_text().split("## Queries")[1]

EXPRESSIONS = [
    *(rule["expr"] for rule in ALERTS),
    *(target["expr"] for panel in PANELS for target in panel["targets"]),
    *re.findall(r"\| `(.+?)` \|$", TABLE, re.MULTILINE),
]
SAME_IN_ALL = "max"
COUNTED = re.compile(r"_(total|bucket|count|sum)$")


def _known() -> set[str]:
    """Return the names of the samples that our processes expose."""
    registry = CollectorRegistry()
    Metrics(registry)
    registry.register(ClusterGauges(lambda: True, list, lambda: Stored(0, 0)))
    register_streams(registry, [])
    other = CollectorRegistry()
    DataStorageMetrics(other)
    ApiServer(KubernetesSettings(), other)
    token_file_gauge(lambda: True, other)
    certificate_gauges(lambda: True, float, other)
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    families = (*registry.collect(), *other.collect())
    return {family.name + ending for family in families for ending in endings[family.type]}


def _selectors(node: Any, around: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each metric of an expression with the functions and aggregations around it, outermost first."""
    match node:
        case promql.VectorSelector():
            yield node.name or "", around
        case promql.MatrixSelector():
            yield from _selectors(node.vector_selector, around)
        case promql.AggregateExpr():
            yield from _selectors(node.expr, (*around, str(node.op).lower()))
        case promql.Call():
            for argument in node.args:
                yield from _selectors(argument, (*around, node.func.name))
        case promql.BinaryExpr():
            yield from _selectors(node.lhs, around)
            yield from _selectors(node.rhs, around)
        case promql.ParenExpr() | promql.UnaryExpr():
            yield from _selectors(node.expr, around)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_expression_asks_for_what_there_is_and_adds_processes_up(expression: str) -> None:
    selectors = list(_selectors(promql.parse(expression)))
    assert selectors
    for name, around in selectors:
        assert name in _known(), name
        if COUNTED.search(name):
            assert around[-2:] in {("sum", "rate"), ("sum", "increase")}, (name, around)
        else:
            assert around[-1] in {SAME_IN_ALL, "absent"}, (name, around)


def test_every_alert_leads_to_its_part_of_the_runbook() -> None:
    parts = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
    assert [rule["alert"] for rule in ALERTS] == parts
    for rule in ALERTS:
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert len(rule["annotations"]["summary"]) > 20


def test_every_panel_stands_somewhere_of_its_own() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS) >= 10
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS}) == len(PANELS)


def test_commands_of_the_runbook_are_understood() -> None:
    blocks = re.findall(r"```\n(.*?)```", RUNBOOK, re.DOTALL)
    commands = [line.split() for block in blocks for line in block.splitlines() if line.startswith("wfe ")]
    commands += [each.split() for each in re.findall(r"`(wfe [^`]+)`", RUNBOOK) if each.islower()]
    assert len(commands) >= 8
    for words in commands:
        _understand(wfe, words[1:], click.Context(wfe))


def _understand(command: click.Command, words: list[str], parent: click.Context) -> None:
    """Parse as the command line would, without doing anything. Raises click.UsageError."""
    if isinstance(command, click.Group):
        _, found, rest = command.resolve_command(parent, words)
        assert found is not None
        _understand(found, rest, click.Context(found, parent=parent))
    else:
        command.parse_args(parent, list(words))
