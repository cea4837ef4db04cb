"""Whether a task had started when the API server refuses to show the tasks: nobody can tell, so the safe answer."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import Transient
from models.execution import Engine
from models.failure import explain_failure
from models.run import Run
from models.task_run import TaskRun
from tasks.adapters.engines import ClusterRuns
from tests.unit.cluster.conftest import Serve
from tests.unit.cluster.scripted import Reply, status
from tests.unit.rules.builders import NOW, failed, run

pytestmark = pytest.mark.enable_socket


def tasks_of(serve: Serve, asked: Run, code: int, reason: str) -> tuple[TaskRun, ...]:
    _, cluster = serve(lambda request: Reply(code, status(code, reason)))
    return ClusterRuns(cluster, "workflows").task_runs(asked)


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize(("changes", "started"), [({}, True), ({"reason": "CouldntGetPipeline"}, False)])
def test_a_run_that_failed_is_judged_by_itself_when_its_tasks_are_refused(
    serve: Serve, engine: Engine, changes: dict[str, Any], started: bool
) -> None:
    found = failed(**changes, engine=engine)
    tasks = tasks_of(serve, found, 403, "Forbidden")
    assert tasks == ()
    assert explain_failure(found, tasks, NOW).started is started


def test_a_job_that_goes_on_counts_as_begun_when_its_pods_are_refused(serve: Serve) -> None:
    (pod,) = tasks_of(serve, run(engine=Engine.JOB), 403, "Forbidden")
    assert pod.started


@pytest.mark.parametrize("engine", list(Engine))
def test_trouble_that_passes_is_waited_for(serve: Serve, engine: Engine) -> None:
    with pytest.raises(Transient):
        tasks_of(serve, failed(engine=engine), 500, "InternalError")
