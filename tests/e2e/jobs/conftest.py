"""A stack on the whole cluster, whose Job controller and node carry out executions of engine job."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from models.execution import Execution, read_execution
from models.keys import Key
from models.names import API_VERSION, KIND
from models.run import Run
from models.status import Phase, Status
from models.target import run_name
from tasks.adapters import paths
from tasks.adapters.cluster import Cluster
from tasks.adapters.jobs import LABEL_JOB, Jobs
from tests.stack_plugin import StackFactory
from tests.waiting import until

NAMESPACE = "default"
RUNS = "kubernaut-workflows"
SETTINGS = {
    "execution.cooldown_period": "2s",
    "execution.block_after_execution_failure": "false",
    "backoff.base_cooldown": "5s",  # long enough to be seen while it lasts
    "backoff.max_consecutive_failures": "2",
}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class User:
    """A person at the API server."""

    cluster: Cluster
    runs: Jobs

    def declare(self, outcome: str, target: str = "", **spec: Any) -> Key:
        """Create an execution of engine job; its image asks the node for an outcome."""
        number = next(_numbers)
        name = f"job-{number}"
        workflow = {
            "workflowId": "w",
            "version": "1",
            "containerImage": f"registry.example/outcome-{outcome}",
            "executionEngine": "job",
        }
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "remediationRequestRef": {"name": f"rr-{number}"},
                "workflowRef": workflow,
                "targetResource": target or f"jobs/deployment/t{number}",
                **spec,
            },
        }
        self.cluster.create(paths.executions(NAMESPACE), body)
        return Key(NAMESPACE, name)

    def find(self, key: Key) -> Execution | None:
        document = self.cluster.get(paths.execution(key))
        return None if document is None else read_execution(document)

    def read(self, key: Key) -> Execution:
        found = self.find(key)
        assert found is not None
        return found

    def reaches(self, key: Key, phase: Phase, seconds: float = 90) -> Execution:
        return self.shows(key, lambda status: status.phase is phase, f"{key} is {phase}", seconds)

    def shows(self, key: Key, true: Callable[[Status], bool], what: str, seconds: float = 90) -> Execution:
        """Wait until something is true of a status, and return the execution as it was then."""

        def look() -> Execution | None:
            found = self.read(key)
            return found if true(found.status) else None

        found = until(look, seconds, what)
        assert found is not None
        return found

    def job(self, execution: Execution) -> Run | None:
        return self.runs.get(run_name(execution.spec.target))

    def pods(self, execution: Execution) -> list[dict[str, Any]]:
        selector = f"{LABEL_JOB}={run_name(execution.spec.target)}"
        return list(self.cluster.list(paths.pods(RUNS), label_selector=selector))

    def events(self, key: Key) -> set[str]:
        selector = f"involvedObject.name={key.name}"
        listed = self.cluster.list(paths.kubernetes_events(NAMESPACE), field_selector=selector)
        return {event["reason"] for event in listed}

    def annotate(self, key: Key, **annotations: str) -> None:
        named = {f"kubernaut.ai/{name.replace('_', '-')}": text for name, text in annotations.items()}
        self.cluster.merge_patch(paths.execution(key), {"metadata": {"annotations": named}})

    def delete(self, key: Key) -> None:
        found = self.find(key)
        if found is not None:
            self.cluster.delete(paths.execution(key), uid=found.uid)


@pytest.fixture(scope="module")
def user(stack_factory: StackFactory) -> Iterator[User]:
    stack = stack_factory(workers=1, tekton="real", settings=SETTINGS)
    cluster = Cluster.connect(str(stack.kubeconfig), "", timedelta(seconds=10))
    user = User(cluster, Jobs(cluster, RUNS))
    yield user
    for document in list(cluster.list(paths.executions(NAMESPACE))):
        user.delete(Key(NAMESPACE, document["metadata"]["name"]))
    until(lambda: not list(cluster.list(paths.executions(NAMESPACE))), 120, "all executions are gone")
