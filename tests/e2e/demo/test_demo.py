"""`make demo` shows the whole product on the real Tekton, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import until

WFE = str(Path(sys.executable).with_name("wfe"))

pytestmark = [pytest.mark.timeout(900), pytest.mark.real_tekton]


def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "WFE_STATE_DIR": str(state)}


def left_behind(state: Path) -> list[str]:
    """Name every process that works in, or was told of, the state directory."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [process.cwd(), *process.cmdline()]
            if process.status() != psutil.STATUS_ZOMBIE and any(str(state) in word for word in words):
                found.append(" ".join(words)[:200])
        except psutil.Error:
            continue
    return found


def test_the_story_is_told_and_everything_is_gone(tmp_path: Path) -> None:
    done = subprocess.run([WFE, "demo"], env=environment(tmp_path), capture_output=True, text=True, check=False)
    told = done.stdout
    assert done.returncode == 0, f"{told}\n{done.stderr}"
    # On a slow machine the first may have ended before the second is shown.
    waiting = re.search(r"^restart-again +Pending .*(TargetResourceBusy|RecentlyRemediated)", told, re.MULTILINE)
    assert waiting is not None
    assert re.search(r"^position 1, (held by default/restart since |default/restart has ended)", told, re.MULTILINE)
    assert re.search(
        r"why restart-again\ndefault/restart-again is Pending: .* rests until .* after default/restart", told
    )
    assert "default/failing is Failed: it failed (TaskFailed; task rollback, step undo, exit code 1)" in told
    assert re.findall(r"^\S+ +(\S+) +(workflow\.\S+)", told, re.MULTILINE) == [
        ("restart", "workflow.started"),
        ("restart", "workflow.completed"),
        ("restart-again", "workflow.queued"),
        ("restart-again", "workflow.started"),
        ("restart-again", "workflow.completed"),
        ("failing", "workflow.started"),
        ("failing", "workflow.failed"),
    ]
    assert "NOT WELL" not in told
    until(lambda: not left_behind(tmp_path), 30, "every process has ended")
    assert not list((tmp_path / "local").glob("demo*"))
    assert not list((tmp_path / "devcluster").glob("demo*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_it_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "demo.out"
    with log.open("wb") as output:
        demo = subprocess.Popen(
            [WFE, "demo"],
            env=environment(tmp_path / "state"),
            stdout=output,
            stderr=output,
            start_new_session=True,
            # A shell starts what it puts into the background with SIGINT ignored, and that is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
        )
    until(lambda: "docs/samples/restart.yaml" in log.read_text(), 300, "the first sample is applied")
    assert left_behind(tmp_path / "state")
    # As a terminal does at Ctrl-C; the other two go to the one process.
    if number is signal.SIGINT:
        os.killpg(demo.pid, number)
    else:
        demo.send_signal(number)
    assert demo.wait(180) == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    until(lambda: not left_behind(tmp_path / "state"), 180, "every process has ended")
    if number is not signal.SIGKILL:
        assert not list((tmp_path / "state" / "local").glob("demo*"))
