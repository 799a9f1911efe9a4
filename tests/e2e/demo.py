"""`make demo` as a fixture: the whole product, started the way a person starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN_S = 600.0
"""The first start on a machine has the characters rehearse their lines."""
STOP_WITHIN_S = 90.0


@contextmanager
def running_demo(var: Path, **environment: str) -> Iterator[dict[str, Any]]:
    """Start it in `var`, wait for its record, end it with Ctrl-C and make sure that it ends.

    The record that is given out has one more entry, `logs`: the folder of the processes' logs.
    """
    log = (var / "demo.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "avatar_platform.local"],
        cwd=ROOT,
        env={**os.environ, "AVATAR_VAR_DIR": str(var), **environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    record = var / "demo.json"
    try:
        deadline = time.monotonic() + START_WITHIN_S
        while not record.exists():
            said = (var / "demo.log").read_text()
            assert process.poll() is None, f"the demo ended:\n{said}"
            assert time.monotonic() < deadline, f"the demo is not ready:\n{said}"
            time.sleep(0.2)
        yield {**json.loads(record.read_text()), "logs": str(var / "log")}
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(STOP_WITHIN_S)
        finally:
            log.close()
            if process.poll() is None:
                process.kill()


def ends_of_logs(folder: Path, lines: int = 25) -> str:
    """What every process said last, for the report of a test that failed."""
    parts = []
    for log in sorted(folder.glob("*.log")):
        said = log.read_text(errors="replace").splitlines()[-lines:]
        parts.append("\n".join([f"--- {log.name}", *(line[:300] for line in said)]))
    return "\n".join(parts)
