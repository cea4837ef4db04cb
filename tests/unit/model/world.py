"""One seed's world: workers, a watcher, beat and an operator around the real code, and a scheduler that mixes them."""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry

from models.errors import Permanent, Transient
from models.keys import Key
from models.names import ANNOTATION_UID
from models.policy import Policy
from models.settings import parse_settings
from tasks import auditing, clock, reconciling, upkeep
from tasks.adapters.engines import ClusterRuns
from tasks.adapters.executions import ClusterExecutions
from tasks.adapters.freeze_object import FreezeObject
from tasks.adapters.surroundings import ClusterSurroundings
from tasks.attending import Attendance
from tasks.claims import Claims
from tasks.metrics import Metrics
from tasks.parts import Parts
from tasks.publish import Publisher
from tasks.redis_scripts.instants import from_us
from tests.unit.model.actors import Actor, Crashed
from tests.unit.model.api_server import Document, ModelCluster, Violation
from tests.unit.model.checks import FORCE, Checks
from tests.unit.model.operator import HOME, Operator
from tests.unit.model.room import ModelQueue, Room
from tests.unit.model.room_holds import ModelHolds
from tests.unit.model.room_outbox import ModelOutbox
from tests.unit.model.storage import ModelStorage
from tests.unit.model.tekton import ModelTekton
from tests.unit.model.watching import ModelWatcher

START_US = 1_780_000_000_123_456
SECOND = 1_000_000
NAMESPACE = "runs"
POLICY = Policy(
    namespace=NAMESPACE,
    cooldown=timedelta(seconds=60),
    backoff_base=timedelta(seconds=4),
    backoff_cap=timedelta(seconds=15),
    max_failures=3,
)
TICKS = (("workflowexecution.sweep", 2), ("audit.flush", 5), ("workflowexecution.resync", 60))
DANGEROUS = (
    *("api.create(pipe", "api.create(jobs", "api.delete", "api.merge"),
    *("holds.release", "holds.take", "holds.yield"),
)
TRACE = 60
REST_STEPS = 12_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Disturbance:
    """How often things go wrong, as shares of port calls, messages and scheduler turns."""

    crash: float = 0.004
    lost_answer: float = 0.006
    refused: float = 0.004
    pause: float = 0.004
    lost_message: float = 0.05
    doubled_message: float = 0.05
    wipe: float = 0.002
    operator: float = 0.03
    jump: float = 0.01


CALM = Disturbance(0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(slots=True)
class Message:
    """A Celery message; `until` is when it expires."""

    task: str
    argument: str
    at: int
    until: int | None = None


class World:
    """Everything of one seed."""

    def __init__(
        self, seed: int, disturbance: Disturbance | None = None, eager: tuple[str, ...] = (), workers: int = 3
    ) -> None:
        """`eager` names what the operator does far more often than otherwise."""
        self.rng = random.Random(seed)
        self.chaos = disturbance or Disturbance()
        self.time_us = START_US
        self.steps = 0
        self.uncounted = 0
        self.counted: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=TRACE)
        self.violation: BaseException | None = None
        self.actor: Actor | None = None
        self.forcing = False
        self.settings = parse_settings({"audit": {"batch_size": 3}}, {}, {})
        self.room = Room(lambda: self.time_us)
        self.cluster = ModelCluster(self.now)
        self.cluster.admit = self._admit
        self.tekton = ModelTekton(self.cluster, NAMESPACE, self.rng, self.now)
        self.storage = ModelStorage()
        self.checks = Checks(
            self.cluster,
            self.tekton,
            self.storage,
            self.room,
            POLICY,
            self.now,
            self._writer,
            self._stalled,
            self._task_began,
        )
        self._asked: dict[str, int] = {}
        self._asking: dict[str, str] = {}
        self._began: dict[str, datetime] = {}
        self.messages: list[Message] = []
        self._next_tick = {name: START_US + period * SECOND for name, period in TICKS}
        self.workers = [Actor(f"w{number}", self._around) for number in range(workers)]
        self.parts = {worker.name: self.build_parts(worker) for worker in self.workers}
        self.watcher_actor = Actor("watcher", self._around)
        self.watcher = ModelWatcher(self.cluster, self.build_parts(self.watcher_actor).publisher, self.now, POLICY)
        self.checks.on_its_way = lambda key: self.watcher_actor.busy or self.watcher.behind
        self.operator = Operator(self, eager)
        self.lenient = self.rng.random() < 0.5
        self.actors = [*self.workers, self.watcher_actor]

    # -- time

    def now(self) -> datetime:
        return from_us(self.time_us)

    def say(self, words: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.steps:6d} {(self.time_us - START_US) / SECOND:9.3f} {words}")

    # -- parts

    def build_parts(self, actor: Actor) -> Parts:
        registry = CollectorRegistry()
        metrics = _Counting(registry, self.counted)
        model = ModelQueue(self.room, horizon=self.settings.celery.horizon)
        queue: Any = actor.port("queue", _CheckedQueue(model, self.checks))
        celery: Any = SimpleNamespace(
            conf=SimpleNamespace(wfe=self.settings),
            send_task=lambda name, **named: actor.call(
                f"celery.send({name.rpartition('.')[2]} {named['args']} {named['countdown'] or ''})",
                lambda: self.send(name, **named),
            ),
        )
        cluster: Any = actor.port("api", self.cluster)
        holds: Any = actor.port("holds", _CheckedHolds(ModelHolds(self.room), self.checks))
        outbox: Any = actor.port("outbox", ModelOutbox(self.room))
        audit: Any = actor.port("storage", self.storage)
        return Parts(
            settings=self.settings,
            policy=POLICY,
            queue=queue,
            claims=Claims(queue, self.settings.celery.claim, self.settings.celery.longest_task),
            holds=holds,
            attendance=Attendance(holds),
            outbox=outbox,
            publisher=Publisher(celery, queue),
            executions=ClusterExecutions(cluster),
            runs=ClusterRuns(cluster, NAMESPACE),
            audit=audit,
            metrics=metrics,
            surroundings=ClusterSurroundings(cluster, HOME),
            freeze=FreezeObject(cluster, HOME),
            aside=_at_once,
        )

    def send(self, name: str, *, args: tuple[str, ...], countdown: float | None, queue: str | None, **_: Any) -> None:
        at = self.time_us + int((countdown or 0) * SECOND)
        for _copy in range(1 + (self.rng.random() < self.chaos.doubled_message)):
            if self.rng.random() >= self.chaos.lost_message:
                self.messages.append(Message(name, args[0] if args else "", at))

    # -- one port call of an actor

    def _around(self, actor: Actor, label: str, function: Callable[[], Any]) -> Any:
        if actor.dead:
            raise Crashed
        self._asked[actor.name], self._asking[actor.name] = self.time_us, label
        actor.wait()
        if actor.dead:
            raise Crashed
        if self.violation is not None:
            raise Crashed
        self.steps += 1
        self.time_us += self.rng.randrange(200, 6000)
        draw, chaos = self.rng.random(), self.chaos
        if draw < chaos.crash / 2:
            return self._crash(actor, f"{label} -- crash before")
        if draw < chaos.crash / 2 + chaos.refused:
            self.say(f"{actor.name}: {label} -- refused")
            raise self._away(label)
        try:
            result = function()
        except Violation as found:
            self.say(f"{actor.name}: {label} -- VIOLATION {found}")
            self.violation = found
            raise
        except Exception as fault:
            self.say(f"{actor.name}: {label} -> {type(fault).__name__}: {str(fault)[:90]}")
            raise
        self.say(f"{actor.name}: {label} -> {_short(result)}")
        if draw > 1 - chaos.crash / 2:
            self.uncounted += label.startswith("api.merge_patch")
            return self._crash(actor, "crash after")
        if draw > 1 - chaos.crash / 2 - chaos.lost_answer:
            self.uncounted += label.startswith("api.merge_patch")
            self.say(f"{actor.name}: answer lost")
            raise self._away(label)
        return result

    def _crash(self, actor: Actor, words: str) -> None:
        self.say(f"{actor.name}: {words}")
        actor.dead = True
        raise Crashed

    @staticmethod
    def _away(label: str) -> Exception:
        return OperationalError("away") if label.startswith("celery") else Transient("away")

    def _admit(self, plural: str, body: Document) -> None:
        ours = ANNOTATION_UID in (body["metadata"].get("annotations") or {})
        if plural not in ("pipelineruns", "jobs") or not ours or self.chaos is CALM:
            return
        draw = self.rng.random()
        if draw < 0.12:
            raise Permanent("pipelineruns is forbidden: exceeded quota", "Forbidden")
        if draw < 0.14:
            raise Permanent("PipelineRun is invalid", "Invalid")

    def _writer(self) -> str:
        return FORCE if self.forcing or self.actor is None else self.actor.name

    def _stalled(self) -> timedelta:
        """Return how long the call under way was on its way."""
        asked = self.time_us if self.actor is None else self._asked[self.actor.name]
        return timedelta(microseconds=self.time_us - asked)

    def _task_began(self) -> datetime:
        """Return when the task of the call under way began."""
        return self.now() if self.actor is None else self._began.get(self.actor.name, self.now())

    # -- the scheduler

    def run(self, steps: int) -> None:
        """Disturb for so many steps, then let everything come to rest. Raises Violation."""
        with self._installed():
            try:
                self.messages.append(Message("workflowexecution.resync", "", self.time_us))
                while self.steps < steps:
                    self._turn()
                self.say("-- no more disturbances")
                self.chaos = CALM
                self._forced(self.operator.unfreeze)
                self._come_to_rest()
            finally:
                for actor in self.actors:
                    actor.end()

    def _come_to_rest(self) -> None:
        wrong = ["not looked yet"]
        last = self.steps + REST_STEPS
        while wrong and self.steps < last:
            if self.lenient:
                self._forced(self.operator.clear_everything)
            quiet_until = self.time_us + 130 * SECOND
            while self.time_us < quiet_until and self.steps < last:
                self._turn()
            if any(actor.busy for actor in self.actors):
                continue
            wrong = self.checks.at_rest(self.counted, self.uncounted)
        if wrong:
            raise Violation("at rest: " + "; ".join(wrong[:8]))

    def _turn(self) -> None:
        self._tick()
        self._renew_claims()
        ready = list(self._ready())
        if not ready:
            self._pass_time()
            return
        if self.rng.random() < self.chaos.jump and self.checks.instants():
            self._approach(self.rng.choice(self.checks.instants()))
            return
        if self.rng.random() < self.chaos.jump:
            self.time_us += self.rng.choice((1, 3, 8, 26, 70)) * SECOND
            self.say("-- time jumps")
            return
        if self.rng.random() < self.chaos.operator:
            self._forced(self.operator.act)
            return
        if self.rng.random() < self.chaos.wipe:
            self.room.wipe()
            self.checks.wiped_at = self.now()
            self.say("-- Redis is empty")
            if self.rng.random() < 0.5:
                self.messages.clear()
            return
        weights = [weight for weight, _ in ready]
        self.rng.choices(ready, weights)[0][1]()
        if self.violation is not None:
            raise self.violation

    def _ready(self) -> Iterator[tuple[float, Callable[[], None]]]:
        idle = []
        for actor in self.actors:
            if actor.busy and actor.paused_until <= self.time_us:
                yield 6, lambda actor=actor: self._go(actor)  # type: ignore[misc]
            elif not actor.busy and actor is not self.watcher_actor:
                idle.append(actor)
        ripe = [message for message in self.messages if message.at <= self.time_us]
        if idle and ripe:
            yield 4, lambda: self._begin(self.rng.choice(idle), self.rng.choice(ripe))
        if not self.watcher_actor.busy and self.watcher.behind:
            yield 3, self._watch
        steps = self.tekton.ripe()
        if steps:
            yield 2, lambda: self._forced(lambda: self.tekton.carry_out(self.rng.choice(steps)))

    def _go(self, actor: Actor) -> None:
        dangerous = self._asking.get(actor.name, "").startswith(DANGEROUS)
        if self.rng.random() < self.chaos.pause * (5 if dangerous else 1):
            actor.paused_until = self.time_us + self.rng.choice((2, 7, 20, 30, 45)) * SECOND
            actor.frozen = self.rng.random() < 0.5  # the whole process, or only the call
            self.say(f"{actor.name}: -- paused for {(actor.paused_until - self.time_us) // SECOND} s")
            return
        self.actor = actor
        actor.go()
        self.actor = None
        if not actor.busy and actor.dead and actor is self.watcher_actor:
            self.watcher.restart()
        if actor.error is not None:
            raise actor.error

    def _begin(self, worker: Actor, message: Message) -> None:
        self.messages.remove(message)
        if message.until is not None and message.until < self.time_us:
            return
        self.say(f"{worker.name}: <- {message.task} {message.argument}")
        self._began[worker.name] = self.now()
        worker.begin(f"{message.task} {message.argument}", lambda: self._work(worker, message))

    def _work(self, worker: Actor, message: Message) -> None:
        parts = self.parts[worker.name]
        try:
            match message.task:
                case "workflowexecution.reconcile" | "workflowexecution.wake":
                    reconciling.run_key(Key.parse(message.argument), parts)
                case "workflowexecution.sweep":
                    upkeep.sweep(parts)
                case "workflowexecution.resync":
                    began = self.now()
                    upkeep.resync(parts)
                    self.checks.resynced_at = max(self.checks.resynced_at, began)
                case "audit.flush":
                    auditing.flush(parts)
        except Transient as fault:
            self.say(f"{worker.name}: task failed: {fault}")
        except Exception as fault:
            raise Violation(f"{message.task} raised {type(fault).__name__}: {fault}") from fault
        except Crashed:
            if self.rng.random() < 0.5:  # not acknowledged: Redis gives it to another worker later
                self.messages.append(Message(message.task, message.argument, self.time_us + 20 * SECOND))
            raise

    def _watch(self) -> None:
        self.watcher_actor.begin("watch", self.watcher.poll)

    def _approach(self, meeting: tuple[datetime, Key]) -> None:
        """Jump to just before an instant that decides, and have the execution looked at there."""
        at, key = meeting
        gap = (at - self.now()) // timedelta(microseconds=1) - self.rng.randrange(1, 25_000)
        if gap > 0:
            self.time_us += gap
            self.say(f"-- time jumps to just before {at}, which decides for {key}")
            self.messages.append(Message("workflowexecution.reconcile", str(key), self.time_us))
            self.room.want(str(key), self.room.now)

    def _forced(self, act: Callable[[], str]) -> None:
        self.forcing = True
        self.steps += 1
        self.time_us += self.rng.randrange(200, 6000)
        try:
            self.say(f"-- {act()}")
        finally:
            self.forcing = False

    def _renew_claims(self) -> None:
        """Do what the thread of each worker process does that is not frozen; now and then it comes late."""
        for worker in self.workers:
            frozen = worker.frozen and worker.paused_until > self.time_us
            if worker.busy and not worker.dead and not frozen and self.rng.random() < 0.3:
                self.parts[worker.name].claims.renew(ModelQueue(self.room, horizon=self.settings.celery.horizon))

    def _tick(self) -> None:
        for name, period in TICKS:
            if self.time_us >= self._next_tick[name]:
                self._next_tick[name] = self.time_us + period * SECOND
                if self.rng.random() >= self.chaos.lost_message:
                    self.messages.append(Message(name, "", self.time_us, self.time_us + period * SECOND))

    def _pass_time(self) -> None:
        instants = [message.at for message in self.messages] + list(self._next_tick.values())
        instants += [actor.paused_until for actor in self.actors if actor.busy]
        happening = self.tekton.next_instant()
        if happening is not None:
            instants.append(int((happening - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) + 1)
        self.time_us = max(self.time_us + 1000, min(instants))

    @contextmanager
    def _installed(self) -> Iterator[None]:
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        jitter = lambda: self.rng.uniform(-1, 1)  # noqa: E731
        with ExitStack() as stack:
            stack.callback(logging.disable, before)
            stack.enter_context(patch.object(clock, "monotonic", lambda: self.time_us / SECOND))
            stack.enter_context(patch.object(reconciling, "draw_jitter", jitter))
            stack.enter_context(patch.object(auditing, "draw_jitter", jitter))
            stack.enter_context(patch.object(reconciling.log, "exception", self._defect))
            yield

    def _defect(self, message: str, *args: object) -> None:
        import sys

        fault = sys.exc_info()[1]
        self.violation = Violation(f"a pass raised {type(fault).__name__}: {fault} ({message % args})")
        self.violation.__cause__ = fault
        raise self.violation


class _Counting(Metrics):
    """The real metrics, and beside them one sum over all processes."""

    def __init__(self, registry: CollectorRegistry, counted: Counter[str]) -> None:
        super().__init__(registry)
        self._sum = counted

    def _count_end(self, after: Any) -> None:
        super()._count_end(after)
        self._sum[after.phase.value] += 1


def _at_once(read: Callable[[], T]) -> Callable[[], T]:
    """Read ahead before the pass does anything else: the oldest answer there can be."""
    answer = read()
    return lambda: answer


class _CheckedQueue:
    """The model's queue with the check after each sweep."""

    def __init__(self, queue: ModelQueue, checks: Checks) -> None:
        self._queue, self._checks = queue, checks

    def __getattr__(self, method: str) -> Any:
        if method != "overdue":
            return getattr(self._queue, method)
        return lambda limit: self._checks.after_sweep(self._queue.overdue(limit))


class _CheckedHolds:
    """The model's holds with the checks around each call."""

    def __init__(self, holds: ModelHolds, checks: Checks) -> None:
        self._holds, self._checks = holds, checks

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._holds, method)
        return lambda *args, **named: self._checks.around_redis(method, method, lambda: inner(*args, **named), args)


def _short(result: Any) -> str:
    if isinstance(result, dict):
        metadata, status = result.get("metadata", {}), result.get("status", {})
        shown = {k: status[k] for k in ("phase", "attempt", "consecutiveFailures") if k in status}
        return f"{metadata.get('name')} v{metadata.get('resourceVersion')} {shown or ''}"
    return str(result)[:110]
