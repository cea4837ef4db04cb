"""No message is needed: all that workers and watcher send is dropped, and the sweep alone brings everything to its end.

A stack of its own, whose processes lose what they send the way a broker would: Celery is made to by a module that
Python imports at start-up. Beat's ticks and what a sweep sends get through, for they are what is left then.
"""

from __future__ import annotations

import os
import textwrap
import time
from pathlib import Path

import pytest

from cli.local import Stack
from models.keys import Key
from models.names import ASK_CANCEL, REQUESTED_BY
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tests.faults.promise.test_frozen import ADMIN
from tests.faults.promise.watching import ENDED, RunWatch, all_audited, declare, phases, repaired, stored_events
from tests.stack_plugin import FAST, StackFactory
from tests.waiting import until

EXECUTIONS, TARGETS = 20, 5
IMAGE = "scripted/outcome-success-100ms:v1"

REFUSED = {
    *(("workflow.started", attempt) for attempt in (1, 2, 3)),
    *(("workflow.retrying", attempt) for attempt in (1, 2)),
    ("workflow.failed", 3),
}

LOSE = textwrap.dedent(
    """
    import sys

    from celery._state import get_current_task
    from celery.app.base import Celery

    send = Celery.send_task

    def lose(app, name, *args, **kwargs):
        task = get_current_task()
        if "beat" in sys.argv or (task is not None and task.name == "workflowexecution.sweep"):
            return send(app, name, *args, **kwargs)
        with open({lost!r}, "a") as file:
            file.write(name + "\\n")

    Celery.send_task = lose
    """
)


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file in which every lost message is noted by its name."""
    return tmp_path_factory.mktemp("lost") / "messages"


@pytest.fixture(scope="module")
def deaf(stack_factory: StackFactory, lost: Path) -> Stack:
    (lost.parent / "sitecustomize.py").write_text(LOSE.format(lost=str(lost)))
    with pytest.MonkeyPatch.context() as patch:
        paths_before = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(lost.parent), paths_before))))
        return stack_factory(workers=2, tekton="scripted", settings={**FAST, "backoff.max_consecutive_failures": "3"})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_ends_by_the_sweep_alone(deaf: Stack, lost: Path) -> None:
    cluster = Cluster.connect(deaf.kubeconfig)
    stem = f"alone-{int(time.time())}"
    names = [f"{stem}-{number}" for number in range(EXECUTIONS)]
    refused, cancelled = f"{stem}-refused", f"{stem}-cancelled"
    with RunWatch(cluster, "kubernaut-workflows") as runs:
        for number, name in enumerate(names):
            declare(cluster, "default", name, f"alone/deployment/{stem}-{number % TARGETS}", IMAGE)
        declare(cluster, "default", refused, f"alone/deployment/{refused}", "scripted/outcome-bundle-missing:v1")
        declare(cluster, "default", cancelled, f"alone/deployment/{cancelled}", "scripted/outcome-hang:v1")
        until(lambda: phases(cluster, "default", [cancelled])["Running"], 120, "it runs", every=0.3)
        ask = {"metadata": {"annotations": {ASK_CANCEL: "enough", REQUESTED_BY: ADMIN}}}
        cluster.merge_patch(paths.execution(Key("default", cancelled)), ask)
        everyone = [*names, refused, cancelled]
        until(lambda: _ended(cluster, everyone) == len(everyone), 300, "all have ended", every=1)
        until(lambda: all_audited(cluster, "default", everyone), 240, "all is audited", every=1)
    assert runs.overlaps == []
    assert phases(cluster, "default", names) == {"Completed": EXECUTIONS}
    assert phases(cluster, "default", [refused, cancelled]) == {"Failed": 2}
    for name in names:
        assert stored_events(deaf, name)[-2:] == [("workflow.started", 1), ("workflow.completed", 1)]
    tried = stored_events(deaf, refused)
    assert len(set(tried)) == len(tried)
    assert set(tried) == REFUSED
    assert stored_events(deaf, cancelled) == [
        ("workflow.started", 1),
        ("workflow.cancelled", 1),
        ("workflow.failed", 1),
    ]
    told = lost.read_text().split()
    assert {"workflowexecution.reconcile", "workflowexecution.wake", "workflowexecution.resync"} <= set(told)
    assert repaired(deaf) > EXECUTIONS


def _ended(cluster: Cluster, names: list[str]) -> int:
    found = phases(cluster, "default", names)
    return sum(found[phase] for phase in ENDED)
