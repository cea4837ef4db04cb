"""The operator of the model: a person with kubectl, who does the ordinary and the forbidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from models.execution import Engine, Execution
from models.freeze import FREEZE_NAME, freeze_document
from models.names import ASK_CANCEL, ASK_CLEAR, ASK_UNLOCK, FINALIZER, REQUESTED_BY
from models.run import Run
from models.status import Phase
from models.target import run_name
from tasks.adapters import paths
from tests.unit.model.room_holds import ModelHolds

if TYPE_CHECKING:
    from tests.unit.model.world import World

TARGETS = ("prod/Deployment/a", "prod/Deployment/b", "Node/c")
NAMESPACES = ("red", "blue")
MOST = 7
RUNS = "runs"
HOME = "system"
FREEZE = paths.config_map(HOME, FREEZE_NAME)


def _path(run: Run) -> str:
    path = paths.job if run.engine is Engine.JOB else paths.pipeline_run
    return path(RUNS, run.name)


class Operator:
    """Each act is one call at the API server or Redis; it returns its words for the trace."""

    def __init__(self, world: World, eager: tuple[str, ...] = ()) -> None:
        self._world, self._eager = world, eager
        self._number = 0
        self._looked: list[tuple[str, str, int]] = []

    def act(self) -> str:
        acts: dict[Callable[[], str], float] = {
            self._create: 10,
            self._delete: 3,
            self._delete_run: 1,
            self._create_foreign: 0.6,
            self._remove_foreign: 1,
            self._force_finalizer: 0.8,
            self._force_phase: 0.4,
            self._unlock: 1.2,
            self._clear: 5,
            self._ask_unlock: 2,
            self._cancel: 2,
            self._freeze: 0.5,
            self.unfreeze: 1,
        }
        weights = [weight * (12 if act.__name__ in self._eager else 1) for act, weight in acts.items()]
        return self._world.rng.choices(list(acts), weights)[0]()

    def _create(self) -> str:
        world, rng = self._world, self._world.rng
        if len(world.checks.executions()) >= MOST:
            return self._delete()
        self._number += 1
        namespace = rng.choice(NAMESPACES)
        name = f"e{self._number if rng.random() < 0.8 else rng.randint(1, self._number)}"
        target = rng.choice(TARGETS) if rng.random() > 0.06 else "nothing"
        stance = rng.choices(("", "Wait", "Skip", "Fail"), (4, 1, 1, 1))[0]
        body = {
            "metadata": {"name": name},
            "spec": {
                "executionConfig": {"concurrencyPolicy": stance} if stance else {},
                "targetResource": target,
                "workflowRef": {"workflowId": "w", "version": "1", "containerImage": "image", **self._engine()},
            },
        }
        if ("workflowexecutions", namespace, name) in world.cluster.objects:
            return f"{namespace}/{name} is there already"
        made = world.cluster.create(paths.executions(namespace), body)
        return f"creates {namespace}/{name} ({made['metadata']['uid']}) for {target}"

    def _engine(self) -> dict[str, str]:
        """Give every third execution the other engine, without a draw: the seeds keep their meaning."""
        return {"executionEngine": "job"} if self._number % 3 == 0 else {}

    def _delete(self) -> str:
        execution = self._some()
        if execution is None:
            return "finds nothing to delete"
        self._world.cluster.delete(paths.execution(execution.key), uid=execution.uid)
        return f"deletes {execution.key} ({execution.uid})"

    def _clear(self) -> str:
        """Let a block go, or say so of one that blocks nothing."""
        execution = self._some(lambda e: e.status.phase is Phase.FAILED and e.status.clearance is None)
        return self._ask(execution, ASK_CLEAR)

    def _ask_unlock(self) -> str:
        return self._ask(self._some(), ASK_UNLOCK)

    def _cancel(self) -> str:
        execution = self._some(lambda e: not e.status.phase.terminal)
        if execution is not None:
            self._world.checks.cancelled.setdefault(execution.uid, self._world.now())
        return self._ask(execution, ASK_CANCEL)

    def _freeze(self) -> str:
        cluster = self._world.cluster
        if cluster.get(FREEZE) is not None:
            return "finds it frozen"
        document = freeze_document("looked at", "ann", HOME)
        if self._world.rng.random() < 0.3:
            del document["metadata"]["finalizers"]
        cluster.create(paths.config_maps(HOME), document)
        return "freezes"

    def unfreeze(self) -> str:
        """Let everything go on."""
        found = self._world.cluster.get(FREEZE)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return "finds nothing frozen"
        self._world.cluster.delete(FREEZE, uid=found["metadata"]["uid"])
        return "unfreezes"

    def clear_everything(self) -> str:
        """Let every block go."""
        blocking = [e for e in self._world.checks.executions() if self._world.checks.blocks(e)]
        return "; ".join(self._ask(execution, ASK_CLEAR) for execution in blocking) or "finds no block"

    def _ask(self, execution: Execution | None, annotation: str) -> str:
        if execution is None:
            return "finds nobody to ask"
        asks = {"metadata": {"annotations": {annotation: "looked at", REQUESTED_BY: "ann"}}}
        self._world.cluster.merge_patch(paths.execution(execution.key), asks)
        return f"asks {execution.key} ({execution.uid}): {annotation.rpartition('/')[2]}"

    def _delete_run(self) -> str:
        runs = self._world.checks.runs()
        if not runs:
            return "finds no run"
        run = self._world.rng.choice(runs)
        self._world.checks.robbed.add(run.execution_uid)
        self._world.cluster.delete(_path(run), uid=run.uid)
        return f"deletes run {run.uid} of {run.execution_key}"

    def _create_foreign(self) -> str:
        world = self._world
        name = run_name(world.rng.choice(TARGETS))
        path = paths.jobs(RUNS) if self._number % 3 == 0 else paths.pipeline_runs(RUNS)
        if any((plural, RUNS, name) in world.cluster.objects for plural in ("pipelineruns", "jobs")):
            return f"finds {name} taken"
        world.cluster.create(path, {"metadata": {"name": name}, "status": {}})
        return f"creates a foreign {name}"

    def _remove_foreign(self) -> str:
        foreign = [run for run in self._world.checks.runs() if not run.execution_uid]
        if not foreign:
            return "finds no foreign run"
        self._world.cluster.delete(_path(foreign[0]), uid=foreign[0].uid)
        return f"deletes the foreign {foreign[0].name}"

    def _force_finalizer(self) -> str:
        execution = self._some(lambda e: e.guarded)
        if execution is None:
            return "finds nothing to force"
        path = paths.execution(execution.key)
        world = self._world
        world.checks.pardoned.add(execution.uid)
        world.checks.excuse(execution.spec.target)
        world.checks.bared.add(execution.uid)
        left = [name for name in execution.finalizers if name != FINALIZER]
        world.cluster.merge_patch(path, {"metadata": {"finalizers": left}})
        if world.rng.random() < 0.7 and world.cluster.get(path) is not None:
            world.cluster.delete(path, uid=execution.uid)
        return f"forces the finalizer off {execution.key} ({execution.uid})"

    def _force_phase(self) -> str:
        execution = self._some(lambda e: e.status.attempt > 0 and not e.status.phase.terminal)
        if execution is None:
            return "finds no phase to force"
        self._world.checks.forced.add(execution.uid)
        self._world.cluster.merge_patch(
            paths.execution(execution.key), {"status": {"phase": "Failed"}}, subresource="status"
        )
        return f"forces {execution.key} ({execution.uid}) to Failed"

    def _unlock(self) -> str:
        """Release by hand what was looked at some time ago, or look."""
        world = self._world
        if world.rng.random() < 0.5 or not self._looked:
            holds = sorted(world.room.holds.items())
            if holds:
                target, hold = world.rng.choice(holds)
                self._looked.append((target, hold.uid, hold.fence))
                return f"looks at the hold of {target}: {hold}"
            return "sees no hold"
        owners = {(at, hold.uid) for at, hold in world.room.holds.items()}
        stale = [look for look in self._looked if look[:2] in owners]
        target, uid, fence = world.rng.choice(stale[:2] or self._looked[-4:])
        if not world.room.epoch:
            return "finds the gate closed"
        freed: Any = world.checks.around_redis(
            "unlock",
            "release",
            lambda: ModelHolds(world.room).release(target, uid, fence, clean=False),
            (target, uid, fence),
        )
        world.checks.excuse(target)
        world.checks.bared.add(uid)
        return f"unlocks {target} of {uid}, fence {fence}: {freed}"

    def _some(self, wanted: Callable[[Execution], bool] = lambda e: True) -> Execution | None:
        found = [e for e in self._world.checks.executions() if wanted(e)]
        return self._world.rng.choice(found) if found else None
