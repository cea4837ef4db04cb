"""One stack of two workers for executions that want more than their share."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cli.local import Stack
from tests.stack_plugin import StackFactory
from tests.terminal import Terminal, sit_down


@pytest.fixture(scope="module")
def stack(stack_factory: StackFactory) -> Stack:
    return stack_factory(workers=2, tekton="scripted")


@pytest.fixture(scope="module")
def terminal(stack: Stack) -> Terminal:
    return sit_down(stack)


@pytest.fixture(autouse=True)
def clean(terminal: Terminal) -> Iterator[None]:
    """Leave no execution of a test behind."""
    yield
    terminal.clear(80, 60)


def passes(stack: Stack) -> int:
    """Return how many passes the workers of a stack have made, whatever came of them."""
    return int(sum(_passes(stack.metrics_urls[worker]) for worker in stack.workers))


def _passes(url: str) -> float:
    text = httpx.get(url, timeout=60).raise_for_status().text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == "workflowexecution_reconcile_total")
