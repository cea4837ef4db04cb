"""One stack of two workers with a scripted Tekton, and a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.local import Stack
from tests.stack_plugin import StackFactory
from tests.terminal import Terminal, sit_down

SETTINGS = {
    "execution.cooldown_period": "20s",
    "execution.cancel_timeout": "5s",
    "backoff.base_cooldown": "4s",
    "backoff.jitter": "0",
    "backoff.max_consecutive_failures": "3",
}


@pytest.fixture(scope="module")
def stack(stack_factory: StackFactory) -> Stack:
    return stack_factory(workers=2, tekton="scripted", settings=SETTINGS)


@pytest.fixture(scope="module")
def terminal(stack: Stack) -> Terminal:
    return sit_down(stack)


@pytest.fixture(autouse=True)
def clean(terminal: Terminal) -> Iterator[None]:
    """Leave no execution of a test behind: deletion has to work anyhow."""
    yield
    terminal.clear(80, 60)
