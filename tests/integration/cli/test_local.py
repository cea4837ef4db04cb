"""`wfe local` as a person types it, on the API server of this test run: up, looked at, hurt, and gone.

Any of these may be run alone or after any other: `running` starts what is not running, `stopped` ends what is.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cli.local import record
from cli.local.places import Places, choose_ports
from devcluster import Cluster
from tasks import clock
from tasks.app import AUDIT, EVENTS, RESYNC, TIMERS
from tests.waiting import until

WFE = str(Path(sys.executable).with_name("wfe"))
PARTS = {"redis", "datastorage", "watcher", "worker-1", "worker-2", "beat", "flower", "tekton"}

_SWEPT = re.compile(r'^workflowexecution_tick_last_timestamp_seconds{tick="sweep"} (\S+)', re.MULTILINE)

pytestmark = pytest.mark.timeout(300)


class Local:
    """Runs `wfe local` with a state directory of its own."""

    def __init__(self, kubeconfig: Path, state: Path) -> None:
        self.kubeconfig, self.state = kubeconfig, state

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "WFE_STATE_DIR": str(self.state)}
        return subprocess.run(
            [WFE, "local", *words], env=environment, capture_output=True, text=True, timeout=250, check=False
        )

    def up(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self("up", "--kubeconfig", str(self.kubeconfig), "--json", *words)

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self("status", "--json").stdout)
        return answer

    def processes(self) -> list[psutil.Process]:
        """Return every process that works in the state directory: all parts do, and supervisord."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.cwd().startswith(str(self.state)):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def local(api_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    local = Local(api_cluster.kubeconfig, tmp_path_factory.mktemp("state"))
    yield local
    local("down", "--all")


OPTIONS = ("--tekton", "scripted", "--set", "execution.cooldown_period=2s")


@pytest.fixture
def running(local: Local) -> dict[str, Any]:
    """A stack, the same as long as nobody ends it."""
    done = local.up(*OPTIONS)
    assert done.returncode == 0, done.stderr
    described: dict[str, Any] = json.loads(done.stdout)
    return described


@pytest.fixture
def stopped(local: Local) -> Iterator[Local]:
    """`wfe local` while nothing of it runs; nor does anything afterwards."""
    local("down")
    assert local.processes() == []
    yield local
    local("down")


def test_json_says_where_everything_is_and_it_answers(running: dict[str, Any], local: Local) -> None:
    assert set(running["pids"]) == PARTS
    assert all(psutil.pid_exists(pid) for pid in running["pids"].values())
    assert running["kubeconfig"] == str(local.kubeconfig)
    for url in running["metrics_urls"].values():
        assert httpx.get(url).status_code == 200
    assert httpx.get(f"{running['datastorage_url']}/health/ready").status_code == 200
    assert "cooldown_period: 2s" in Path(running["settings"]).read_text()


def test_a_worker_says_when_it_last_swept(running: dict[str, Any]) -> None:
    began = clock.now().timestamp()

    def swept() -> bool:
        workers = (running["metrics_urls"][name] for name in ("worker-1", "worker-2"))
        found = [_SWEPT.search(httpx.get(url).text) for url in workers]
        return any(float(each.group(1)) > began for each in found if each)

    until(swept, 90, "a sweep that was finished since")


def test_flower_wants_a_login_and_changes_nothing(running: dict[str, Any]) -> None:
    secret = Path(running["flower_password_file"])
    assert secret.stat().st_mode & 0o077 == 0
    login = (running["flower_user"], secret.read_text())
    assert httpx.get(f"{running['flower_url']}/workers").status_code == 401
    assert httpx.get(f"{running['flower_url']}/workers", auth=login).status_code == 200
    for path in ("/api/task/send-task/workflowexecution.resync", "/api/worker/shutdown/worker-1@local"):
        assert httpx.post(f"{running['flower_url']}{path}", auth=login, json={}).status_code == 405


def test_flower_shows_how_much_waits_in_each_queue(running: dict[str, Any]) -> None:
    login = (running["flower_user"], Path(running["flower_password_file"]).read_text())

    def shown() -> bool:
        page = httpx.get(f"{running['flower_url']}/broker", auth=login).text
        return all(f"<td>{queue}</td>" in page for queue in (EVENTS, TIMERS, AUDIT, RESYNC))

    until(shown, 90, "Flower knows the broker and the queues of a worker")


def test_nothing_listens_beyond_loopback(local: Local, running: dict[str, Any]) -> None:
    assert running["pids"]
    listening = [
        connection.laddr.ip
        for process in local.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_up_again_changes_nothing_and_other_options_are_refused(running: dict[str, Any], local: Local) -> None:
    again = local.up(*OPTIONS)
    assert json.loads(again.stdout)["pids"] == running["pids"]
    other = local.up("--tekton", "scripted", "--workers", "3")
    assert other.returncode == 2
    assert "runs with other options" in other.stderr


def test_a_killed_worker_comes_back_and_is_shown_as_restarted(running: dict[str, Any], local: Local) -> None:
    before = local.status()["parts"]["worker-1"]
    restarts = before["restarts"] + 1
    os.kill(before["pid"], signal.SIGKILL)

    def back() -> bool:
        now = local.status()["parts"]["worker-1"]
        return now["state"] == "RUNNING" and now["pid"] not in (0, before["pid"]) and now["restarts"] == restarts

    until(back, 90, "worker-1 runs again")
    until(lambda: _answers(running["metrics_urls"]["worker-1"]), 60, "it answers again")
    assert running["pids"]["worker-2"] == local.status()["parts"]["worker-2"]["pid"]
    shown = local("status")
    assert shown.returncode == 0
    row = next(line.split() for line in shown.stdout.splitlines() if line.startswith("worker-1"))
    assert (row[1], row[3]) == ("RUNNING", str(restarts))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_audit_is_written_and_read_with_tokens_that_are_shown_nowhere(
    running: dict[str, Any], local: Local
) -> None:
    """The tokens and the key are this user's alone; `wfe audit` finds the one that reads."""
    places = Places(local.state / "local" / "default")
    secrets = [places.write_token, places.read_token, places.tokens, places.audit_key]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in secrets)
    write, read = places.write_token.read_text(), places.read_token.read_text()
    key = "".join(places.audit_key.read_text().splitlines()[1:-1])
    events = f"{running['datastorage_url']}/api/v1/audit/events"
    codes = {
        token: httpx.get(events, headers={"Authorization": f"Bearer {token}"}).status_code for token in (write, read)
    }
    assert (codes, httpx.get(events).status_code) == ({write: 403, read: 200}, 401)
    holds, ask = events.replace("/events", "/holds"), {"correlation_id": "rr-held", "reason": "matter 12"}
    assert httpx.post(holds, json=ask, headers={"Authorization": f"Bearer {write}"}).status_code == 403
    environment = {**os.environ, "WFE_STATE_DIR": str(local.state), "KUBECONFIG": str(local.kubeconfig)}
    held = [[WFE, "audit", "hold", act, ask["correlation_id"], "--reason", ask["reason"]] for act in ("set", "lift")]
    words = (*held, [WFE, "audit", "verify"], [WFE, "config", "show"])
    said = [subprocess.run(each, env=environment, capture_output=True, text=True, check=False) for each in words]
    assert [done.returncode for done in said] == [0, 0, 0, 0], said
    again = local.up(*OPTIONS)
    assert (places.write_token.read_text(), places.read_token.read_text()) == (write, read)
    login = (running["flower_user"], Path(running["flower_password_file"]).read_text())
    pages = [httpx.get(f"{running['flower_url']}/{page}", auth=login) for page in ("workers", "tasks", "broker")]
    pages += [httpx.get(url) for url in running["metrics_urls"].values()]
    shown = [page.text for page in pages] + [again.stdout, again.stderr] + [done.stdout + done.stderr for done in said]
    files = [file for file in places.root.rglob("*") if file.is_file() and file not in secrets]
    assert {places.log("datastorage"), places.log("worker-1"), places.settings, places.supervisor_config} <= set(files)
    shown += [file.read_text(errors="replace") for file in files]
    # Everybody on the machine can read a command line, and this user the variables.
    for process in local.processes():
        shown += [" ".join(process.cmdline()), " ".join(process.environ().values())]
    assert not any(secret in text for secret in (write, read, key) for text in shown)


def test_logs_of_one_part_and_of_all(running: dict[str, Any], local: Local) -> None:
    assert "ready." in local("logs", "worker-2", "--tail", "100000").stdout
    every = local("logs").stdout
    assert all(f"==> {part} <==" in every for part in running["pids"])
    absent = local("logs", "nothing")
    assert absent.returncode == 1
    assert "there is no log of nothing" in absent.stderr


def test_down_leaves_nothing(running: dict[str, Any], local: Local) -> None:
    known = record.read(Places(local.state / "local" / "default"))
    assert known is not None
    assert len(local.processes()) >= len(running["pids"])
    assert local("down").returncode == 0
    assert local.processes() == []
    assert not (local.state / "local" / "default").exists()
    assert not Path(known.socket).parent.exists()
    assert local("status").returncode == 1


def test_a_part_that_dies_at_its_start_is_reported_and_all_is_taken_down(stopped: Local) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = stopped.up("--tekton", "none", "--workers", "1", "--port", f"redis={taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "redis died while starting; the end of its log:" in done.stderr
    assert "Address already in use" in done.stderr
    assert stopped.processes() == []
    assert not (stopped.state / "local" / "default").exists()


def test_a_killed_supervisor_takes_every_part_along_and_up_cleans(stopped: Local) -> None:
    assert stopped.up("--tekton", "none", "--workers", "1").returncode == 0
    known = record.read(Places(stopped.state / "local" / "default"))
    assert known is not None
    assert known.supervisor is not None
    os.kill(known.supervisor.pid, signal.SIGKILL)
    until(lambda: not stopped.processes(), 90, "every part has ended")
    status = stopped("status")
    assert status.returncode == 1
    assert "has ended" in status.stderr
    assert stopped.up("--tekton", "none", "--workers", "1").returncode == 0
    assert stopped("down").returncode == 0


def test_free_ports_differ_and_given_ones_are_taken() -> None:
    ports = choose_ports(["a", "b", "c"], {"a": 4711, "unknown": 1})
    assert ports["a"] == 4711
    assert len(set(ports.values())) == 3
