"""Child processes that never outlive their parent, and a supervisor for a handful of them."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

STOP_GRACE_S: Final = 10.0
KILL_GRACE_S: Final = 5.0
POLL_S: Final = 0.1
QUICK_CRASHES_MAX: Final = 5
QUICK_CRASH_WINDOW_S: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1


class ProcessError(RuntimeError):
    """A child could not be started or went away; the text names it, its end and its log."""


def _die_with_parent() -> None:
    """In the child: when the parent is killed, even by -9, the kernel ends this one as well."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ChildProcess:
    """One program in a process group of its own, writing to a log file.

    The group is what gets ended, so that grandchildren go too; and Ctrl-C at the terminal reaches
    the supervisor only, which ends the children in its own order. It is not a session: Linux weighs
    niceness within one session only, and background speech must give way to the renderer.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ProcessError(f"{self.name} has not been started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs (or before it was started)."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=_die_with_parent,
            )

    def ask_to_stop(self) -> None:
        self._signal(signal.SIGTERM)

    def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """SIGTERM, then SIGKILL, to the whole group. May be called twice."""
        if self._process is None:
            return
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)
        self._signal(signal.SIGKILL)
        self._process.wait(KILL_GRACE_S)

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log, for error messages."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def how_it_ended(self, when: str = "") -> str:
        """The sentence for the person at the terminal, with the end of the log."""
        return (
            f"{self.name} ended with code {self.exit_code}{when}.\n"
            f"Its log {self.log} ends with:\n{self.tail()}"
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def wait_until(
    is_true: Callable[[], bool], what: str, *, child: ChildProcess | None = None, within_s: float
) -> None:
    """Poll a condition.

    Raises:
        ProcessError: the time is over, or the child that should bring it about has ended.
    """
    deadline = time.monotonic() + within_s
    while not is_true():
        if child is not None and child.exit_code is not None:
            raise ProcessError(child.how_it_ended(f" before {what}"))
        if time.monotonic() > deadline:
            log = f"; see {child.log}:\n{child.tail()}" if child is not None else ""
            raise ProcessError(f"waited {within_s:.0f} s for {what}{log}")
        time.sleep(POLL_S)


def wait_for_port(port: int, child: ChildProcess, within_s: float = 120.0) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, f"port {port} answers", child=child, within_s=within_s)


@dataclass
class _Watched:
    child: ChildProcess
    restarts: bool
    crashes: list[float] = field(default_factory=list)


class Supervisor:
    """Starts children, restarts the workers among them, ends all of them together.

    A child that may not be restarted and ends, or a worker that keeps crashing, ends everything:
    half a product is worse than none. Children are ended in the reverse order of their start.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._watched: list[_Watched] = []
        self._stopping = threading.Event()

    def start(self, child: ChildProcess, *, restarts: bool = False) -> ChildProcess:
        self._watched.append(_Watched(child, restarts))
        child.start()
        return child

    def children(self) -> list[ChildProcess]:
        return [watched.child for watched in self._watched]

    def pids(self) -> dict[str, int]:
        return {watched.child.name: watched.child.pid for watched in self._watched}

    def request_stop(self) -> None:
        self._stopping.set()

    def watch(self, on_restart: Callable[[], None]) -> None:
        """Until `request_stop`; `on_restart` runs after a worker was started again.

        Raises:
            ProcessError: something that the product cannot do without has ended.
        """
        while not self._stopping.wait(POLL_S):
            for watched in self._watched:
                if watched.child.exit_code is not None:
                    self._handle_end(watched)
                    on_restart()

    def stop_all(self) -> None:
        """Workers first, all at once, so that they can still tell the platform; then the rest."""
        self._stopping.set()
        workers = [watched.child for watched in self._watched if watched.restarts]
        for child in workers:
            child.ask_to_stop()
        others = [watched.child for watched in reversed(self._watched) if not watched.restarts]
        for child in [*workers, *others]:
            child.stop()

    def _handle_end(self, watched: _Watched) -> None:
        child, now = watched.child, time.monotonic()
        watched.crashes = [t for t in watched.crashes if now - t < QUICK_CRASH_WINDOW_S] + [now]
        if not watched.restarts or len(watched.crashes) > QUICK_CRASHES_MAX:
            raise ProcessError(child.how_it_ended())
        self._say(f"{child.name} ended with code {child.exit_code}; starting it again")
        child.stop()  # what is left of its group
        child.start()
