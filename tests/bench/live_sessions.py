"""The shipped character live, everything on this machine but a browser.

    python -m tests.bench.live_sessions [--seconds 60] [--conversations 1 2] [--driven 4]

Conversations answer through the whole product: page's REST call, agent, speech, avatar worker,
LiveKit. Driven sessions get the same kind of sound written straight into their audio streams, with
no agent speaking. A subscriber that does not decode stands in for every browser. Pictures are
counted where they are handed to LiveKit; processor time is that of the product's processes.
"""

import argparse
import asyncio
import re
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from livekit import rtc
from redis.asyncio import Redis

from avatar_contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from avatar_contracts.messages import PlayoutFinished
from avatar_worker.audio.sound import read_sound
from avatar_worker.slots import SHIPPED_CHARACTER
from tests.bench.live.producer import Producer
from tests.e2e.demo import ROOT, running_demo

READY_WITHIN_S = 60.0
COUNTERS = ("avatar_frames", "avatar_repeated_frames", "avatar_late_frames")
SPEECH = ROOT / "tests" / "data" / "synctalk-mini" / "audio" / "cross.wav"


@dataclass
class Product:
    """The running demo, seen from outside."""

    record: dict[str, Any]
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, **body: Any) -> Any:
        answer = await self.client.request(method, path, json=body or None)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def counters(self) -> dict[str, float]:
        worker = psutil.Process(self.record["processes"]["avatar_worker"])
        port = worker.environ()["AVATAR_HEALTH_PORT"]
        text = (await self.client.get(f"http://127.0.0.1:{port}/metrics")).text
        rows = dict(re.findall(r"^(\w+)_total ([\d.e+]+)$", text, re.MULTILINE))
        return {name: float(rows.get(name, 0)) for name in COUNTERS}

    def processor_s(self) -> dict[str, float]:
        """By process of the product, its children included."""
        used = {}
        for name, pid in self.record["processes"].items():
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            used[name] = sum(sum(process.cpu_times()[:2]) for process in family)
        return used


@asynccontextmanager
async def session(product: Product, mode: str) -> AsyncIterator[str]:
    """A live session with somebody in the room; its identifier."""
    body = await product.call("POST", "/sessions", character=product.record["character"], mode=mode)
    room = rtc.Room()
    await room.connect(body["livekit"]["url"], body["livekit"]["token"])
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while (now := (await product.call("GET", f"/sessions/{body['id']}"))["status"]) != "active":
            if time.monotonic() > deadline or now in ("failed", "ended"):
                raise RuntimeError(f"session {body['id']} is {now}")
            await asyncio.sleep(0.2)
        yield body["id"]
    finally:
        await room.disconnect()
        await product.call("POST", f"/sessions/{body['id']}/end")


async def converse(product: Product, identifier: str, until_s: float) -> None:
    """Have it say what its persona knows by heart, one line after the other."""
    persona = tomllib.loads((SHIPPED_CHARACTER / "persona.toml").read_text())
    lines = [entry["answer"] for entry in persona["knowledge"]]
    spoken = 0
    while time.monotonic() < until_s:
        await product.call("POST", f"/sessions/{identifier}/say", text=lines[spoken % len(lines)])
        spoken += 1
        await asyncio.sleep(min(8.0, max(0.0, until_s - time.monotonic())))


async def drive(redis: Redis, identifier: str, until_s: float) -> None:
    """Write speech into the session's audio stream, utterance by utterance."""
    sound = read_sound(SPEECH).mono(SAMPLE_RATE_HZ)
    sound = np.pad(sound, (0, -len(sound) % FRAME_SAMPLES))
    pcm = (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes() * 4
    producer = Producer(redis, identifier, 1)
    while time.monotonic() < until_s:
        await producer.wait_for(PlayoutFinished, await producer.speak(pcm))


async def measure(product: Product, n: int, mode: str, seconds: float) -> None:
    """Print one row for n sessions."""
    redis: Redis = Redis.from_url(product.record["redis_url"], protocol=2)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(redis.aclose)
        identifiers = [await stack.enter_async_context(session(product, mode)) for _ in range(n)]
        await asyncio.sleep(3.0)
        until_s = time.monotonic() + seconds
        speaking = [
            asyncio.create_task(
                converse(product, i, until_s)
                if mode == "conversation"
                else drive(redis, i, until_s)
            )
            for i in identifiers
        ]
        began, used = await product.counters(), product.processor_s()
        began_s = time.monotonic()
        await asyncio.sleep(seconds)
        took_s = time.monotonic() - began_s
        ended, used_after = await product.counters(), product.processor_s()
        for task in speaking:
            task.cancel()
        await asyncio.gather(*speaking, return_exceptions=True)
    frames, skipped, late = (ended[name] - began[name] for name in COUNTERS)
    what = "conversations" if mode == "conversation" else "driven sessions"
    print(f"{n} {what}, {took_s:.0f} s: {frames / n / took_s:.2f} pictures/s each, "
          f"{skipped:.0f} skipped, {late:.0f} late of {frames:.0f}")  # fmt: skip
    shares = {name: (used_after[name] - before) / took_s for name, before in used.items()}
    told = ", ".join(
        f"{name} {100 * share:.0f} %" for name, share in shares.items() if share >= 0.005
    )
    print(f"   of one core: {told}; together {100 * sum(shares.values()):.0f} %")


async def main(arguments: argparse.Namespace) -> None:
    slots = str(max(*arguments.conversations, *arguments.driven))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(Path(folder), AVATAR_SLOTS=slots) as record,
    ):
        headers = {"Authorization": f"Bearer {record['api_key']}"}
        async with httpx.AsyncClient(base_url=record["api_url"], headers=headers) as client:
            product = Product(record, client)
            for n in arguments.conversations:
                await measure(product, n, "conversation", arguments.seconds)
            for n in arguments.driven:
                await measure(product, n, "echo", arguments.seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--conversations", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--driven", type=int, nargs="+", default=[4])
    asyncio.run(main(parser.parse_args()))
