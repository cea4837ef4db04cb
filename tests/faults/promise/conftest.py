"""One stack of two workers for the promise: no cooldown, so that runs of one target follow each other at once."""

from __future__ import annotations

import pytest

from cli.local import Stack
from tests.stack_plugin import StackFactory

SETTINGS = {"execution.cooldown_period": "0s", "backoff.base_cooldown": "1s", "audit.flush_interval": "200ms"}


@pytest.fixture(scope="module")
def stack(stack_factory: StackFactory) -> Stack:
    return stack_factory(workers=2, tekton="scripted", settings=SETTINGS)
