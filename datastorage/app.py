"""The HTTP application: routes, and in how many threads they may reach the database.

Routes only read bodies on the event loop; parsing, checking and SQL run in threads. There are as many of them as
connections, so that waiting happens here and never inside the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from sqlalchemy import Engine

from datastorage import problems, schema
from datastorage.authentication import Bearer
from datastorage.bodies import read_body
from datastorage.callers import Callers
from datastorage.checkpoints import Checkpoints, Seals
from datastorage.clock import Clock
from datastorage.engine import HEALTH_CONNECTIONS
from datastorage.events import Answer, Events
from datastorage.exporting import Export
from datastorage.health import Health
from datastorage.holding import Holding
from datastorage.holds import Holds
from datastorage.metrics import Metrics
from datastorage.openapi import document
from datastorage.partitions import Partitions
from datastorage.proving import Proving
from datastorage.repository import Repository
from datastorage.requests import RequestLog
from datastorage.retention import Retention
from datastorage.settings import Driver
from datastorage.streaming import Streams
from datastorage.upkeep import Upkeep
from datastorage.verification import Verification
from models.audit_months import FOR_EVER, Keep

AUDIT = "/api/v1/audit"
_UNSEALED = Seals()
_CHECKED_AT_ONCE = 2


def create_app(
    engine: Engine,
    pool_size: int,
    registry: CollectorRegistry,
    clock: Clock,
    seals: Seals = _UNSEALED,
    callers: Callers | None = None,
    keep: Keep = FOR_EVER,
) -> FastAPI:
    """Assemble the service around an engine; what it does by itself stands in `app.state`.

    Without `callers` nobody is asked who he is.
    """
    metrics = Metrics(registry)
    checkpoints = Checkpoints(engine, seals, clock, metrics)
    partitions = Partitions(engine, clock, metrics)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.openapi = document  # type: ignore[method-assign]
    problems.install(app)
    if callers is not None:
        app.add_middleware(Bearer, base=AUDIT, callers=callers, metrics=metrics)
    # The last one added is the outermost: a refusal is logged, too.
    app.add_middleware(RequestLog, metrics=metrics, clock=clock)
    _add_events(app, Events(Repository(engine), metrics, clock), Holding(Holds(engine, clock)), engine, pool_size)
    proving = Proving(Verification(engine, seals), checkpoints, seals, clock)
    _add_proving(app, proving, Export(engine, seals, clock))
    app.state.checkpoints = checkpoints
    retention = {"retention": Retention(engine, seals, clock, metrics, keep).run} if keep else {}
    app.state.upkeep = Upkeep({"partitions": partitions.make_ahead, **retention})
    _add_health(app, Health(engine, schema.head(), clock), registry)
    return app


def _add_events(app: FastAPI, events: Events, holding: Holding, engine: Engine, pool_size: int) -> None:
    # One batch is checked while another is stored; more threads would only wait for each other.
    check_slots = CapacityLimiter(_CHECKED_AT_ONCE)
    write_slots = read_slots = CapacityLimiter(pool_size)
    if engine.dialect.name == Driver.SQLITE:
        # SQLite has one writer at a time, and its lock is polled: better to stand in line here.
        write_slots, read_slots = CapacityLimiter(1), CapacityLimiter(max(1, pool_size - 1))

    @app.post(f"{AUDIT}/events")
    async def write_one(request: Request) -> Response:
        record = await to_thread.run_sync(events.read_one, await read_body(request), limiter=check_slots)
        return await _run(request, write_slots, events.write_one, record)

    @app.post(f"{AUDIT}/events/batch")
    async def write_batch(request: Request) -> Response:
        records = await to_thread.run_sync(events.read_batch, await read_body(request), limiter=check_slots)
        return await _run(request, write_slots, events.write_batch, records)

    @app.get(f"{AUDIT}/events")
    async def find(request: Request) -> Response:
        return await _run(request, read_slots, events.find, request.query_params.multi_items())

    @app.post(f"{AUDIT}/holds")
    async def hold(request: Request) -> Response:
        return await _run(request, write_slots, holding.set, await read_body(request), request.state.log.get("caller"))

    @app.post(f"{AUDIT}/holds/lift")
    async def lift(request: Request) -> Response:
        return await _run(request, write_slots, holding.lift, await read_body(request), request.state.log.get("caller"))

    @app.get(f"{AUDIT}/holds")
    async def holds(request: Request) -> Response:
        return await _run(request, read_slots, holding.all)


def _add_proving(app: FastAPI, proving: Proving, export: Export) -> None:
    streams = Streams()
    slots = CapacityLimiter(1)

    @app.post(f"{AUDIT}/verify-chain")
    async def verify(request: Request) -> Response:
        parts = await to_thread.run_sync(proving.verify, await read_body(request))
        return await streams.respond(parts, "application/json")

    @app.get(f"{AUDIT}/export")
    async def exported(request: Request) -> Response:
        return await streams.respond(export.lines(request.query_params.multi_items()), "application/jsonl")

    @app.post(f"{AUDIT}/checkpoints")
    async def checkpoint(request: Request) -> Response:
        return await _run(request, slots, proving.checkpoint)


def _add_health(app: FastAPI, health: Health, registry: CollectorRegistry) -> None:
    # Connections of their own: a busy service is not a dead one.
    slots = CapacityLimiter(HEALTH_CONNECTIONS)

    @app.get("/health")
    async def connected(request: Request) -> Response:
        return await _run(request, slots, health.connected)

    @app.get("/health/ready")
    async def ready(request: Request) -> Response:
        return await _run(request, slots, health.ready)

    @app.get("/health/live")
    async def live() -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _run(request: Request, slots: CapacityLimiter, work: Callable[..., Answer], *arguments: Any) -> Response:
    answer = await to_thread.run_sync(work, *arguments, limiter=slots)
    request.state.log.update(answer.log)
    return Response(answer.content, answer.status, media_type="application/json")
