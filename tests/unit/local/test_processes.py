"""Children end with their parent, however it ends."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from avatar_platform.local.processes import ChildProcess, ProcessError, Supervisor, wait_until

pytestmark = pytest.mark.unit
FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]
FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""


def is_alive(pid: int) -> bool:
    try:
        with Path(f"/proc/{pid}/stat").open() as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def first_line(log: Path) -> str:
    wait_until(lambda: "\n" in log.read_text(), f"a line in {log}", within_s=20)
    return log.read_text().splitlines()[0]


def test_stopping_a_child_ends_its_children_too(tmp_path: Path) -> None:
    child = ChildProcess("family", [sys.executable, "-c", FAMILY], log=tmp_path / "log")
    child.start()
    grandchild = int(first_line(child.log))
    child.stop()
    wait_until(lambda: not is_alive(grandchild), "the grandchild is gone", within_s=5)
    assert child.exit_code is not None


def test_a_child_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent_code = (
        "from pathlib import Path\n"
        "import sys, signal\n"
        "from avatar_platform.local.processes import ChildProcess\n"
        f"child = ChildProcess('x', {FOREVER!r}, log=Path({str(tmp_path / 'log')!r}))\n"
        "child.start(); print(child.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    wait_until(lambda: not is_alive(pid), "the child is gone", within_s=5)


def test_a_killed_worker_is_started_again_and_a_killed_engine_ends_everything(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    engine = supervisor.start(ChildProcess("engine", FOREVER, log=tmp_path / "engine"))
    worker = supervisor.start(
        ChildProcess("worker", FOREVER, log=tmp_path / "worker"), restarts=True
    )
    first_pid = worker.pid
    restarted = threading.Event()
    failures: list[ProcessError] = []

    def watch() -> None:
        try:
            supervisor.watch(on_restart=restarted.set)
        except ProcessError as error:
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        os.kill(first_pid, signal.SIGKILL)
        assert restarted.wait(10)
        assert worker.pid != first_pid
        assert any("worker ended" in line for line in said)
        os.kill(engine.pid, signal.SIGKILL)
        thread.join(10)
        assert "engine ended with code -9" in str(failures[0])
    finally:
        supervisor.stop_all()
    assert not is_alive(worker.pid)


def test_a_worker_that_keeps_crashing_ends_everything(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda line: None)
    supervisor.start(
        ChildProcess("broken", [sys.executable, "-c", "print('no model')"], log=tmp_path / "log"),
        restarts=True,
    )
    with pytest.raises(ProcessError, match="no model"):
        supervisor.watch(on_restart=lambda: None)
    supervisor.stop_all()


def test_waiting_for_a_child_that_ended_says_what_it_said(tmp_path: Path) -> None:
    child = ChildProcess("x", [sys.executable, "-c", "exit('bad key')"], log=tmp_path / "log")
    with (
        child,
        pytest.raises(ProcessError, match=r"x ended with code 1 before it serves.*\n.*\nbad key"),
    ):
        wait_until(lambda: False, "it serves", child=child, within_s=20)
