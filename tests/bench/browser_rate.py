"""Pictures a second that a browser receives from the whole product, and what freezes on the way.

    python -m tests.bench.browser_rate [--seconds 10] [--characters mira test-card]

Everything is real and on this machine, the browser included, which decodes and draws in software.
The avatar is made to speak all the while. What was sent, skipped and repeated the worker counts.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import psutil

from avatar_platform.local.engines import find_browser
from tests.e2e.demo import running_demo
from tests.e2e.visitor import Visitor, a_visitor

SPEECH = "Listen. " + "I will go on for a while, so that there is time to count the pictures. " * 6
FACE_WITHIN_S = 90.0
SPEAKS_WITHIN_S = 90.0
COUNTERS = ("avatar_frames", "avatar_skipped_frames", "avatar_repeated_frames")


def counters(record: dict[str, Any]) -> dict[str, float]:
    """The worker's own counts."""
    worker = psutil.Process(record["processes"]["avatar_worker"])
    port = worker.environ()["AVATAR_HEALTH_PORT"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    rows = dict(re.findall(r"^(\w+)_total ([\d.e+]+)$", text, re.MULTILINE))
    return {name: float(rows.get(name, 0)) for name in COUNTERS}


def have_said(record: dict[str, Any], visitor: Visitor) -> None:
    session = visitor.read("session")["id"]
    headers = {"Authorization": f"Bearer {record['api_key']}"}
    url = f"{record['api_url']}/sessions/{session}/say"
    httpx.post(url, headers=headers, json={"text": SPEECH}, timeout=10).raise_for_status()
    visitor.wait_for("window.avatarPage.speaking", SPEAKS_WITHIN_S)


def measure(record: dict[str, Any], character: str, seconds: float, folder: Path) -> None:
    """Print one line."""
    page = f"{record['page_url']}?character={character}"
    with a_visitor(find_browser().path, page, folder) as visitor:
        visitor.start(character)
        visitor.wait_for("window.avatarPage.status === 'live'", FACE_WITHIN_S)
        have_said(record, visitor)
        before = counters(record)
        rate = visitor.frame_rate(seconds)
        after = counters(record)
        sent, skipped, repeated = (after[name] - before[name] for name in COUNTERS)
        video = visitor.page.evaluate("window.avatarPage.readStats()")["video"]
        print(
            f"{character:10} {video['width']:5} × {video['height']:<5} {rate:8.1f} "
            f"{sent / seconds:7.1f} {skipped:8.0f} {repeated:9.0f} {video['freezes']:8}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--characters", nargs="+", default=["mira", "test-card"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as var, running_demo(Path(var)) as record:
        print("character    size received  browser/s  sent/s  skipped  repeated  freezes")
        for character in options.characters:
            measure(record, character, options.seconds, Path(var))
    return 0


if __name__ == "__main__":
    sys.exit(main())
