"""The deployed stack, tried once: `sudo .venv/bin/python -m tests.compose`.

Builds the images, starts `docker-compose.yml` unchanged, asks for a session over REST, joins its
room as a visitor would, counts the pictures of the avatar for ten seconds, ends the session and
takes the stack down. Needs a container engine and `docker compose` (or `docker-compose`).
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from typing import Any

from livekit import rtc

from tests.compose.stand_ins import make_all

PROJECT = "avatar-tried"
API = "http://127.0.0.1:8000/api/v1"
START_WITHIN_S = 300.0
READY_WITHIN_S = 60.0
WATCH_S = 10.0
IMAGES = {
    "avatar-platform": "docker/platform.Dockerfile",
    "avatar-agent-worker": "docker/agent_worker.Dockerfile",
    "avatar-worker": "docker/avatar_worker.Dockerfile",
}


def compose(*arguments: str, capture: bool = False) -> str:
    program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    done = subprocess.run(
        [*program, "-p", PROJECT, "--profile", "cpu", *arguments],
        check=True,
        text=True,
        stdout=subprocess.PIPE if capture else None,
    )
    return done.stdout or ""


def call(method: str, path: str, key: str, body: object = None) -> Any:
    request = urllib.request.Request(
        f"{API}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def poll(what: str, within_s: float, ask: Any) -> Any:
    """The first answer that is true; a deadline instead of a fixed wait."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            if answer := ask():
                return answer
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {within_s:.0f} s for {what}")
        time.sleep(0.5)


async def count_pictures(url: str, token: str) -> int:
    """Pictures of the avatar that a visitor in the room receives in `WATCH_S`."""
    room, seen = rtc.Room(), 0
    done = asyncio.Event()

    async def read(track: rtc.Track) -> None:
        nonlocal seen
        async for _ in rtc.VideoStream(track):
            seen += 1
            if done.is_set():
                return

    tasks: list[asyncio.Task[None]] = []

    @room.on("track_subscribed")
    def _(track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            tasks.append(asyncio.create_task(read(track)))

    await room.connect(url, token)
    await asyncio.sleep(WATCH_S)
    done.set()
    await room.disconnect()
    return seen


def main() -> int:
    make_all()
    for image, dockerfile in IMAGES.items():
        subprocess.run(
            ["docker", "build", "--network", "host", "-q", "-t", image, "-f", dockerfile, "."],
            check=True,
        )
    try:
        compose("up", "-d", "--no-build")
        make_key = ["exec", "-T", "web", "python", "manage.py", "create_api_key", "trial"]
        poll("the platform", START_WITHIN_S, lambda: urllib.request.urlopen(f"{API}/openapi.json"))
        key = compose(*make_key, capture=True).strip()
        poll("a worker", START_WITHIN_S, lambda: call("GET", "/workers", key)["items"])
        session = call("POST", "/sessions", key, {"character": "mira"})
        path = f"/sessions/{session['id']}"
        ready = poll(
            "the session",
            READY_WITHIN_S,
            lambda: call("GET", path, key)["status"] in ("ready", "active"),
        )
        pictures = asyncio.run(
            count_pictures(session["livekit"]["url"], session["livekit"]["token"])
        )
        call("POST", f"{path}/end", key, {})
        poll("its end", READY_WITHIN_S, lambda: call("GET", path, key)["status"] == "ended")
        print(f"session ready: {ready}; {pictures / WATCH_S:.1f} pictures a second received")
    finally:
        compose("logs", "--tail", "20")
        compose("down", "-v")
    subprocess.run(["docker", "images", "--format", "{{.Repository}}\t{{.Size}}"], check=True)
    return 0 if pictures > WATCH_S * 20 else 1


if __name__ == "__main__":
    sys.exit(main())
