"""`wfe plan` and `wfe why` for somebody who may look at executions in one namespace and at nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cli.access import Access
from cli.explain import explain
from cli.explanation import World
from cli.kubeconfigs import Kubeconfig
from cli.options import Chosen
from cli.plan_checks import Check, State
from cli.planning import _accepted
from cli.world import _ask_about_holder, look_around
from models.errors import Permanent, Transient
from models.hold import Busy, Free, HoldView
from models.keys import Key
from models.settings import parse_settings
from tests.unit.cli.objects import NOW, execution, later

HOLDER = Key("elsewhere", "first")
RUNNING = {"phase": "Running", "attempt": 1, "pipelineRunRef": {"name": "wfe-0123456789abcdef"}}


def refused(what: str) -> Permanent:
    return Permanent(f'{what} is forbidden: User "jo" cannot list resource', reason="Forbidden")


class Cluster:
    """An API server on which everything is forbidden; `opened` are beginnings of paths that are not, and are empty."""

    def __init__(self, *opened: str) -> None:
        self.opened = opened

    def get(self, path: str) -> None:
        self._ask(path)

    def list(self, path: str, **_: str) -> list[dict[str, Any]]:
        self._ask(path)
        return []

    def list_page(self, path: str, **_: object) -> None:
        self._ask(path)

    def create(self, path: str, *_: object, **__: object) -> None:
        raise refused(path)

    def _ask(self, path: str) -> None:
        if not path.startswith(self.opened or ("nothing",)):
            raise refused(path)


class Redis:
    """What `wfe` asks of Redis, for one target; as a connection it fails."""

    def __init__(self, hold: HoldView) -> None:
        self._hold = hold

    def now(self) -> Any:
        return NOW

    def look(self, _target: str, _uid: str) -> HoldView:
        return self._hold

    def line(self, _target: str) -> list[str]:
        return []

    def pipeline(self, **_: object) -> None:
        raise Transient("Redis is away")


def access(cluster: Cluster, hold: HoldView | None = None) -> Access:
    made = Access(Chosen(), parse_settings(None, {}, {}), Kubeconfig("", "", "default", "", None))
    redis = Redis(Free() if hold is None else hold)
    vars(made).update(cluster=cluster, redis=redis, queue=redis, holds=redis)
    return made


SERVER = Check("API server", State.OK, "accepts it (dry run)")


def planned(cluster: Cluster, hold: HoldView | None = None) -> tuple[dict[str, Check], str]:
    execution_ = execution()
    found = _accepted(access(cluster, hold), execution_.key, execution_, SERVER)
    return {check.name: check for check in found.checks}, found.forecast.sentence


def test_a_plan_says_unknown_where_nothing_may_be_asked() -> None:
    checks, sentence = planned(Cluster())
    unknown = {name for name, check in checks.items() if check.state is State.UNKNOWN}
    assert unknown == {"Engine", "Namespace", "Account", "Rights", "Creation", "Freeze", "Target"}
    assert "cannot list resource" in checks["Freeze"].detail
    assert sentence.startswith("it cannot be said: you may not see")


def test_a_plan_that_cannot_see_the_freeze_says_so() -> None:
    runs = ("/apis/tekton.dev", "/apis/batch", "/api/v1/namespaces/kubernaut-workflows")
    checks, sentence = planned(Cluster(*runs))
    assert checks["Freeze"].state is State.UNKNOWN
    assert checks["Target"] == Check("Target", State.OK, "free")
    assert sentence == "it starts at once, unless everything is frozen, which you may not ask"


def test_a_plan_says_unknown_of_a_holder_in_a_closed_namespace() -> None:
    runs = ("/apis/tekton.dev", "/apis/batch", "/api/v1/namespaces/kubernaut-workflows")
    checks, _ = planned(Cluster(*runs), Busy(HOLDER, "uid-first", later(-75), 1))
    assert checks["Target"].state is State.UNKNOWN


def test_why_tells_what_it_may_not_see() -> None:
    world = look_around(access(Cluster()), execution(status=RUNNING))
    assert world.run is None
    assert "cannot list resource" in world.run_fault
    told = explain(execution(status=RUNNING), replace(world, redis_fault=""))
    assert "what its run wfe-0123456789abcdef says is unknown: " in told.sentence
    assert "gone" not in told.sentence
    going = execution(status=RUNNING, deletionTimestamp="2026-03-01T11:59:59Z")
    told = explain(going, replace(world, redis_fault=""))
    assert "what is left of its run wfe-0123456789abcdef is unknown" in told.sentence


def test_why_names_a_holder_that_it_may_not_look_at() -> None:
    busy = Busy(HOLDER, "uid-first", later(-75), 1)
    world = _ask_about_holder(access(Cluster()), World(now=NOW, hold=busy))
    assert "held by elsewhere/first since" in explain(execution(status={"phase": "Pending"}), world).sentence
