"""The container stack, really run: from an empty folder to audit events in PostgreSQL, and to a clean end.

The tests share one stack; those that change its shape stand last.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.compose.checkout import service_of
from tests.e2e.compose.conftest import ACCOUNT, SETTINGS, Stack
from tests.waiting import until

# The engine, the image and the start of everything belong to the first test that asks for them.
pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(1800)]

SERVICES = {"redis", "postgres", "migrate", "datastorage", "watcher", "worker", "beat", "flower"}


def done(stack: Stack, name: str) -> bool:
    """Say whether an execution is Completed and DataStorage acknowledged all of it."""
    status = stack.status(name)
    acknowledged = {"type": "AuditRecorded", "status": "True"}
    conditions = status.get("conditions", [])
    return status.get("phase") == "Completed" and any(acknowledged.items() <= each.items() for each in conditions)


def running(stack: Stack) -> list[dict[str, Any]]:
    """Return the containers that are not done with their work."""
    return [each for each in stack.checkout.containers() if service_of(each) != "migrate"]


def health(stack: Stack) -> list[str]:
    """Return what the last probes said of each of them; one of them may be late while the machine is busy."""
    return [str(each["State"]["Health"]["Status"]) for each in running(stack)]


def test_an_execution_completes_and_its_audit_is_in_postgresql(stack: Stack, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    stack.declare("first", "default/deployment/web")
    until(lambda: done(stack, "first"), 180, "the execution is Completed and audited")
    say(f"an execution is Completed and audited after {time.monotonic() - began:.1f} s")
    told = stack.audited("first")
    assert [event["event_type"] for event in told] == ["workflow.started", "workflow.completed"]
    query = "select event_type from audit_events where correlation_id = 'request-first' order by 1"
    database = ("exec", "-T", "postgres", "psql", "-U", "datastorage", "-d", "datastorage", "-tA", "-c", query)
    assert stack.checkout.compose(*database).split() == ["workflow.completed", "workflow.started"]


def test_the_audit_asks_for_tokens_and_its_checkpoints_are_signed(stack: Stack) -> None:
    events = "/api/v1/audit/events"
    assert stack.datastorage.get(events).status_code == httpx.codes.OK
    assert stack.datastorage.post(events, json={}).status_code == httpx.codes.FORBIDDEN
    for headers in ({"Authorization": ""}, {"Authorization": f"Bearer {'x' * 32}"}):
        assert stack.datastorage.get(events, headers=headers).status_code == httpx.codes.UNAUTHORIZED

    def verified() -> dict[str, Any]:
        report: dict[str, Any] = stack.datastorage.post("/api/v1/audit/verify-chain").raise_for_status().json()
        return report if report["newest_checkpoint"] and report["events_since"] == 0 else {}

    report = until(verified, 180, "everything stored is signed by a checkpoint", every=0.5)
    assert (report["valid"], report["faults"]) == (True, [])
    anchored = stack.checkout.compose("exec", "-T", "datastorage", "cat", "/var/lib/datastorage/anchor")
    assert len(anchored.splitlines()) == report["newest_checkpoint"]["number"]
    logs = stack.checkout.compose("logs", "--no-color")
    flower = f"http://127.0.0.1:{stack.checkout.ports['flower']}/tasks"
    shown = stack.datastorage.get("/metrics").text
    login = ("wfe", stack.checkout.secret("flower_password"))
    shown += httpx.get(flower, auth=login, timeout=60).raise_for_status().text
    for name in ("audit_write_token", "audit_read_token"):
        assert stack.checkout.secret(name) not in logs + shown


def test_everything_is_healthy_and_the_migration_ended_well(stack: Stack) -> None:
    containers = stack.checkout.containers()
    assert {service_of(each) for each in containers} == SERVICES
    until(lambda: set(health(stack)) == {"healthy"}, 120, "every probe gets its answer in time", every=1)
    migrated = next(each for each in containers if service_of(each) == "migrate")
    assert (migrated["State"]["Status"], migrated["State"]["ExitCode"]) == ("exited", 0)


def test_nothing_runs_as_root_or_can_gain_rights(stack: Stack) -> None:
    for each in running(stack):
        service, host = service_of(each), each["HostConfig"]
        processes = stack.checkout.engine.docker("top", each["Id"], "-eo", "pid,uid").splitlines()[1:]
        assert processes, service
        assert "0" not in {process.split()[1] for process in processes}, service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), service
        assert host["ReadonlyRootfs"] or service == "postgres"


def test_the_working_directory_is_empty_and_passwords_are_in_no_environment(stack: Stack) -> None:
    assert (
        stack.checkout.compose("exec", "-T", "worker", "sh", "-c", "ls -A .; touch x 2>/dev/null || echo no") == "no\n"
    )
    names = ("redis_password", "postgres_password", "flower_password", "audit_write_token", "audit_read_token")
    passwords = [stack.checkout.secret(name) for name in names]
    for each in stack.checkout.containers():
        declared = " ".join([*each["Config"]["Env"], *(each["Config"]["Cmd"] or [])])
        assert not any(password in declared for password in passwords), service_of(each)


def test_only_loopback_is_published(stack: Stack) -> None:
    published = {
        (service_of(each), binding["HostIp"])
        for each in running(stack)
        for bindings in each["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert published == {("datastorage", "127.0.0.1"), ("flower", "127.0.0.1")}


def test_redis_asks_for_its_password(stack: Stack) -> None:
    assert "NOAUTH" in stack.checkout.compose("exec", "-T", "redis", "redis-cli", "ping")


def test_flower_asks_for_a_login_and_changes_nothing(stack: Stack) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.checkout.ports['flower']}", timeout=60) as flower:
        assert flower.get("/workers").status_code == httpx.codes.UNAUTHORIZED
        assert flower.get("/workers", auth=("wfe", "wrong")).status_code == httpx.codes.UNAUTHORIZED
        login = ("wfe", stack.checkout.secret("flower_password"))
        worker = re.compile(r"celery@[0-9a-f]{12}")
        found = until(lambda: worker.findall(flower.get("/workers", auth=login).text), 90, "Flower shows the worker")
        shutdown = flower.post(f"/api/worker/shutdown/{found[0]}", auth=login)
        assert shutdown.status_code == httpx.codes.METHOD_NOT_ALLOWED
        until(
            lambda: "<td>timers</td>" in flower.get("/broker", auth=login).text, 90, "Flower may look into the broker"
        )


def test_a_second_start_takes_the_new_kubeconfig_and_keeps_the_rest(stack: Stack) -> None:
    before = {service_of(each): each["Id"] for each in running(stack)}
    stack.checkout.kubeconfig = stack.cluster.login(ACCOUNT)
    stack.checkout.write_settings(**SETTINGS)
    stack.checkout.make("compose-up")
    after = {service_of(each): each["Id"] for each in running(stack)}
    assert {service for service in before if after[service] != before[service]} == {"watcher", "worker"}


def test_three_workers_share_the_work(stack: Stack, say: Callable[[str], None]) -> None:
    stack.checkout.make("compose-up", "--scale worker=3")
    say("three workers are healthy")
    workers = [each for each in running(stack) if service_of(each) == "worker"]
    assert len(workers) == 3
    # One worker may be quick enough to do a whole batch while the others only begin.
    for batch in range(5):
        names = [f"many-{batch}-{number}" for number in range(12)]
        for name in names:
            stack.declare(name, f"default/deployment/{name}")
        _until_all_are_done(stack, names)
        assert all(len(stack.audited(name)) == 2 for name in names)
        passes = [_passes(stack, each["Id"]) for each in workers]
        say(f"passes made by each worker: {passes}")
        if sum(1 for number in passes if number) > 1:
            break
    assert sum(1 for number in passes if number) > 1
    until(lambda: health(stack).count("healthy") == len(SERVICES) + 1, 120, "three workers and the rest are healthy")


def _until_all_are_done(stack: Stack, names: list[str]) -> None:
    until(lambda: all(done(stack, name) for name in names), 180, "all are Completed and audited")


def test_everything_stops_when_asked_to(stack: Stack, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    stack.checkout.compose("stop")
    say(f"everything stopped after {time.monotonic() - began:.1f} s")
    # 137 would be a process that had to be killed, 143 one that knows no orderly end.
    assert {service_of(each): each["State"]["ExitCode"] for each in running(stack)} == dict.fromkeys(
        SERVICES - {"migrate"}, 0
    )


def _passes(stack: Stack, container: str) -> int:
    look = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9090/metrics').read().decode())"
    shown = stack.checkout.engine.docker("exec", container, "python", "-c", look)
    counted = re.findall(r"^workflowexecution_reconcile_total\{.*\} (\S+)$", shown, re.MULTILINE)
    return int(sum(map(float, counted)))
