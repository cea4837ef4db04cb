"""A person at a terminal: kubectl and wfe as they are typed, against one stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cli.local import Stack
from devcluster import builds
from devcluster.annotations import OUTCOME, Outcome
from models.names import API_VERSION, KIND
from models.status import Phase
from tests.waiting import until

SAMPLES = Path(__file__).parents[1] / "docs" / "samples"
WFE = str(Path(sys.executable).with_name("wfe"))
RUNS = "kubernaut-workflows"
LONGEST = 200
"""Seconds that any command may take; most have a deadline of their own before."""


@dataclass(frozen=True)
class Terminal:
    """Types commands as a person would, with the environment that `wfe local up` prints."""

    environment: Mapping[str, str]
    registry: str = "registry.example"

    def kubectl(self, *words: str, stdin: str | None = None, check: bool = True) -> str:
        return self._type([str(builds.kubectl()), *words], stdin, check)

    def wfe(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        return self._type([WFE, *words], stdin, check)

    def read(self, *words: str) -> Any:
        """Return what a wfe command prints as JSON; what it says besides does not count."""
        return json.loads(self._run([WFE, *words, "-o", "json"], None, check=True).stdout)

    def _type(self, command: list[str], stdin: str | None, check: bool) -> str:
        done = self._run(command, stdin, check)
        return done.stdout + done.stderr

    def _run(self, command: list[str], stdin: str | None, check: bool) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=LONGEST, env=self.environment, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def refused(self, *words: str, code: int = 1) -> str:
        """Type a wfe command that has to fail with one clear line, and return that line."""
        done = subprocess.run(
            [WFE, *words], capture_output=True, text=True, timeout=LONGEST, env=dict(self.environment), check=False
        )
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), (words, done)
        return done.stderr

    def apply(self, sample: str, **changes: Any) -> None:
        """Apply a sample with the registry of this cluster in it; `changes` go into its spec."""
        document = yaml.safe_load((SAMPLES / sample).read_text(encoding="utf-8"))
        reference = document["spec"]["workflowRef"]["containerImage"]
        document["spec"]["workflowRef"]["containerImage"] = reference.replace("127.0.0.1:5000", self.registry)
        document["spec"] |= changes
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))

    def declare(self, name: str, target: str, bundle: str = "outcome-success", **spec: Any) -> None:
        """Apply an execution whose bundle tells a scripted Tekton what to play."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(self.manifest(name, target, bundle, **spec)))

    def manifest(self, name: str, target: str, bundle: str = "outcome-success", **spec: Any) -> dict[str, Any]:
        workflow = {"workflowId": "w", "version": "1", "containerImage": f"{self.registry}/{bundle}:v1"}
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name},
            "spec": {
                "remediationRequestRef": {"name": f"rr-{target.replace('/', '-')}"},
                "workflowRef": workflow,
                "targetResource": target,
                **spec,
            },
        }

    def whoami(self) -> str:
        """Return the name under which the API server knows this person."""
        review: dict[str, Any] = json.loads(self.kubectl("auth", "whoami", "-o", "json"))
        return str(review["status"]["userInfo"]["username"])

    def runs(self) -> list[dict[str, Any]]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "pipelinerun", "-n", RUNS, "-o", "json"))
        return list(found["items"])

    def runs_of(self, name: str) -> list[dict[str, Any]]:
        label = "kubernaut.ai/workflow-execution"
        return [run for run in self.runs() if run["metadata"]["labels"].get(label) == name]

    def succeed(self, name: str) -> None:
        """Let the run of an execution end well; a scripted Tekton leaves one alone whose outcome is `hang`."""
        condition = {"type": "Succeeded", "status": "True", "reason": "Succeeded", "message": "Tasks Completed: 1"}
        (run,) = self.runs_of(name)
        words = ("patch", "pipelinerun", run["metadata"]["name"], "-n", RUNS, "--subresource=status", "--type=merge")
        self.kubectl(*words, "-p", json.dumps({"status": {"conditions": [condition]}}))

    def clear(self, deleted_within: int, gone_within: float) -> None:
        """Delete every execution, and wait until their runs are gone: deletion has to work anyhow. Seconds."""
        self.kubectl("delete", "wfe", "--all", "-A", f"--timeout={deleted_within}s")
        until(lambda: self.runs() == [], gone_within, "all runs are gone", every=0.2)

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "wfe", name, "-o", "json"))
        status: dict[str, Any] = found.get("status") or {}
        return status

    def reaches(self, name: str, phase: str, seconds: float = 90) -> dict[str, Any]:
        return self.shows(name, "phase", phase, seconds)

    def shows(self, name: str, field: str, value: Any, seconds: float = 90) -> dict[str, Any]:
        """Wait until a field of the status has a value, and return the status."""
        seen: dict[str, Any] = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.status(name))
            return bool(seen.get(field) == value)

        try:
            until(there, seconds, f"{name} has {field} {value}", every=0.2)
        except AssertionError as late:
            raise AssertionError(f"{late}; its status: {json.dumps(seen)}") from None
        return seen

    def events(self, name: str) -> list[str]:
        """Return the reasons of the Kubernetes Events of an execution, oldest first."""
        uid = json.loads(self.kubectl("get", "wfe", name, "-o", "json"))["metadata"]["uid"]
        words = ("get", "events", "--field-selector", f"involvedObject.uid={uid}", "-o", "json")
        items = json.loads(self.kubectl(*words))["items"]
        return [item["reason"] for item in sorted(items, key=lambda item: int(item["metadata"]["resourceVersion"]))]

    def finish(self, run: str) -> None:
        """Let the pods of a run succeed that hang until they are told, on the local node."""
        pods = ("pod", "-n", RUNS, "-l", f"tekton.dev/pipelineRun={run}")
        until(lambda: self.kubectl("get", *pods, "-o", "name", check=False).startswith("pod/"), 90, "the run has a pod")
        self.kubectl("annotate", "--overwrite", *pods, f"{OUTCOME}={Outcome.SUCCESS}")

    def story(self, name: str) -> list[dict[str, Any]]:
        """Return the audit events of an execution once all of them are stored, oldest first.

        A flusher that was killed keeps others out for a minute.
        """
        until(lambda: "audit" not in self.status(name), 180, f"the audit of {name} is stored", every=0.2)
        events: list[dict[str, Any]] = self.read("audit", name)
        return events

    def told(self, name: str) -> list[str]:
        """Return what the audit of an execution tells, in one word each."""
        return [str(event["event_type"]).removeprefix("workflow.") for event in self.story(name)]

    @contextmanager
    def watching(self, name: str, phases: list[str]) -> Iterator[Screen]:
        """Watch executions as a person does, and add to `phases` what is shown of one, each once, in order.

        The body begins once an execution that exists already is on the screen: from then on nothing is missed. At its
        end the phase that this one has then is waited for.
        """
        screen = Screen()
        with subprocess.Popen(
            [str(builds.kubectl()), "get", "wfe", "-w", "--no-headers"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(self.environment),
        ) as watch:
            assert watch.stdout
            reader = threading.Thread(target=screen.follow, args=(watch.stdout,))
            reader.start()
            try:
                until(lambda: screen.rows or watch.poll() is not None, 60, "kubectl get -w shows what is there")
                assert screen.rows, "kubectl get -w showed nothing: one execution has to be there before"
                yield screen
                screen.shows(name, self.status(name)["phase"])
            finally:
                watch.terminate()
                reader.join(60)
        seen = [row[1] for row in screen.rows if row[0] == name and row[1] in tuple(Phase)]
        phases.extend(dict.fromkeys(seen))


@dataclass(frozen=True)
class Screen:
    """What `kubectl get -w` has shown so far, every state one row: none is over too soon to be seen."""

    rows: list[list[str]] = field(default_factory=list)

    def follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            words = line.split()
            if len(words) > 1:
                self.rows.append(words)

    def shows(self, *words: str, seconds: float = 90) -> None:
        """Wait until one row has all of these words."""
        try:
            until(lambda: any({*words} <= {*row} for row in list(self.rows)), seconds, f"a row with {words}")
        except AssertionError as late:
            raise AssertionError(f"{late}; shown: {self.rows}") from None


def sit_down(stack: Stack, registry: str = "registry.example") -> Terminal:
    """Return a terminal at a stack."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "KUBECONFIG": str(stack.kubeconfig),
        **{name: os.environ[name] for name in ("WFE_STATE_DIR", "WFE_CACHE_DIR") if name in os.environ},
    }
    return Terminal(environment, registry)
