"""Nothing of a cluster outlives it, whoever is killed; what is wrong is said in one message."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from devcluster import DevclusterError, UsageError, cluster, records
from devcluster.processes import Process

ROOT = Path(cluster.__file__).resolve().parent.parent
Until = Callable[[Callable[[], object], str], None]
Pids = Callable[[Path], list[int]]

OWNER = """
import sys, devcluster
with devcluster.start("api", name="owned") as started:
    print("ready", flush=True)
    sys.stdin.read()
"""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person does."""
    line = [sys.executable, "-m", "devcluster", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)


def living(processes: list[int]) -> list[int]:
    """Return those of the processes that still run."""
    return [pid for pid in processes if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_the_command_line_and_a_killed_keeper(own_state: Path, pids: Pids, until: Until) -> None:
    started = command("up", "--level", "api", "--name", "one", "-o", "json")
    assert started.returncode == 0, started.stderr
    described = json.loads(started.stdout)
    exported = command("env", "--name", "one").stdout.strip()
    assert exported == f"export KUBECONFIG={described['kubeconfig']}"
    everything = pids(own_state / "one")
    assert len(living(everything)) == 3

    again = command("up", "--level", "api", "--name", "one", "-o", "json")
    assert json.loads(again.stdout) == described, "a cluster that runs is left as it is"
    other = command("up", "--level", "api", "--name", "one", "--audit-log")
    assert other.returncode == 2
    complaint = "cluster one runs with other options; run `down` first or choose another --name"
    assert other.stderr.strip() == f"devcluster: {complaint}"

    os.kill(described["keeper_pid"], signal.SIGKILL)
    until(lambda: not living(everything), "something outlives the keeper")
    assert command("status", "--name", "one").returncode == 1
    assert "one: dead" in command("status").stdout
    assert command("env", "--name", "one").returncode == 1

    cluster.remove_stale()
    assert not (own_state / "one").exists()
    assert "kube-apiserver" in command("logs", "--name", "one").stdout, "the logs of a crash are kept"
    assert command("status").stdout == "no cluster runs\n"


def test_a_killed_owner_takes_its_cluster_along(own_state: Path, pids: Pids, until: Until) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        everything = pids(own_state / "owned")
        owner.kill()
    until(lambda: not living(everything), "something outlives the owner")
    until(lambda: not (own_state / "owned").exists(), "the directory outlives the owner")


def test_a_component_that_dies_ends_the_cluster_and_is_named(own_state: Path, pids: Pids, until: Until) -> None:
    with cluster.start("api", name="broken") as started:
        assert started.record is not None
        everything = pids(started.directory)
        os.kill(started.record.components["etcd"].pid, signal.SIGKILL)
        until(lambda: not living(everything), "something outlives etcd")
        record = records.read(started.directory)
        assert record is not None
        assert record.phase is records.Phase.FAILED
        assert record.message.startswith("etcd ended with code -9; its log ends:")
        assert command("status", "--name", "broken").returncode == 1
    assert not started.directory.exists()


def test_a_component_that_does_not_start_is_named_with_the_end_of_its_log(
    own_state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("etcd", "#!/bin/sh\nexec sleep 60\n"),
        ("kube-apiserver", "#!/bin/sh\necho no such flag; exit 3\n"),
        ("kubectl", ""),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(DevclusterError, match=r"kube-apiserver ended with code 3; its log ends:\nno such flag"):
        cluster.start("api", name="stillborn")
    assert cluster.names() == []
    assert command("logs", "kube-apiserver", "--name", "stillborn").stdout == "no such flag\n"


def test_a_reused_process_id_is_not_a_keeper(own_state: Path) -> None:
    own = psutil.Process()
    directory = own_state / "old"
    directory.mkdir(parents=True)
    earlier = Process(own.pid, 1)
    records.write(directory, records.Record(records.Request("old"), earlier, components={"etcd": earlier}))
    assert cluster.find("old") is None
    cluster.remove_stale()
    assert not directory.exists(), "and this very process was not taken for etcd"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "Not/A/Name"), "name=Not/A/Name: allowed are up to 40 of a-z, 0-9 and -, no - at the ends"),
        (("--listen", "0.0.0.0"), "listen=0.0.0.0: allowed is one IP address of this machine (see `ip address`)"),
        (("--use-existing",), "--use-existing needs KUBECONFIG to name an existing file"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(
    own_state: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    done = command("up", "--level", "api", *arguments)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (2, f"devcluster: {message}", "")


def test_down_of_nothing_is_no_error(own_state: Path) -> None:
    done = command("down", "--name", "nothing")
    assert (done.returncode, done.stderr) == (0, "there is no cluster nothing\n")


def test_an_existing_cluster_is_used_and_left_alone(
    api_cluster: cluster.Cluster, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api_cluster.kubeconfig))
    with cluster.use_existing() as used:
        used.ensure_runner("borrowed", "runner")
    assert used.server == api_cluster.server
    listed = [str(api_cluster.kubectl), "get", "namespace", "borrowed", "-o", "name"]
    told = subprocess.run(listed, env=api_cluster.environment(), capture_output=True, text=True, timeout=60)
    assert told.stdout == "namespace/borrowed\n"


def test_a_name_is_taken_once(api_cluster: cluster.Cluster) -> None:
    assert api_cluster.record is not None
    with pytest.raises(UsageError, match="runs already"):
        cluster.start("api", name=api_cluster.record.request.name)
