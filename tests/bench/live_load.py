"""How many driven sessions one worker process serves, in real rooms.

    python -m tests.bench.live_load [--sessions 1 2 4] [--seconds 10] [--device cpu|cuda]

Every session of the shipped character at 512 × 512 speaks without a pause; its sound comes through
Redis and leaves, with the pictures, into a LiveKit room of its own. Platform and agent are left
out, and nobody watches: pictures are counted where they are handed to LiveKit, whose encoder runs
in the worker. Skipped and late ones are those of all sessions.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import soxr
from redis.asyncio import Redis

from avatar_contracts.audio import SAMPLE_RATE_HZ
from avatar_contracts.beat import Claim
from avatar_contracts.codec import to_json
from avatar_platform.local.engines import LiveKitAddress, livekit_server, redis_server
from tests.bench.live.claims import claim_of
from tests.bench.live.producer import Producer
from tests.bench.live.rooms import create_room

ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT / "tests" / "data" / "synctalk-mini" / "audio" / "cross.wav"
SIZE_PX = 512
SHIFT_SAMPLES = 1237
"""Between the sounds of two sessions."""
ROOM_FOR_SETTLING_S = 8.0
READY_WITHIN_S = 180.0


def speech(seconds: float) -> np.ndarray:
    """Words in a circle, 24 kHz."""
    with wave.open(str(SPEECH)) as file:
        rate = file.getframerate()
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    words = soxr.resample(raw.astype(np.float32) / 32768, rate, SAMPLE_RATE_HZ)
    return np.resize(words, int(seconds * SAMPLE_RATE_HZ))


def mira_claim(livekit: LiveKitAddress, name: str) -> Claim:
    return claim_of(
        livekit, name, SIZE_PX, character="mira", engine="synctalk", bundle_sha256="mira"
    )


async def measure(
    livekit: LiveKitAddress, redis_url: str, n: int, seconds: float, device: str
) -> dict[str, object]:
    """One worker process with `n` sessions that speak."""
    names = [f"load-{n}-{number}" for number in range(n)]
    for name in names:
        await create_room(livekit, name)
    sound = speech(seconds + ROOM_FOR_SETTLING_S)
    with tempfile.TemporaryDirectory() as folder:
        claims = Path(folder) / "claims.json"
        claims.write_text(json.dumps([to_json(mira_claim(livekit, name)) for name in names]))
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.live.load_process", str(claims), redis_url, device,
            str(seconds), stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert worker.stdout is not None
        async with asyncio.timeout(READY_WITHIN_S):
            assert (await worker.stdout.readline()).split() == [b"ready"]
        redis = Redis.from_url(redis_url, protocol=2)
        for number, name in enumerate(names):
            pcm = (np.roll(sound, -number * SHIFT_SAMPLES) * 32767).astype("<i2").tobytes()
            await Producer(redis, name, 1).speak(pcm)
        line = (await worker.stdout.readline()).removeprefix(b"measured ")
        await worker.wait()
        await redis.aclose()
    figures: dict[str, object] = json.loads(line)
    return figures


async def run(counts: list[int], seconds: float, device: str) -> None:
    print(f"{SIZE_PX} × {SIZE_PX} on {device}, {seconds:.0f} s of speech in every session")
    print("sessions   fps least  median   skipped   late   cores of the worker")
    with livekit_server() as livekit, redis_server() as redis_url:
        for n in counts:
            f = await measure(livekit, redis_url, n, seconds, device)
            note = "" if f["all_speak"] else "   some had ended"
            print(
                f"{n:8} {f['fps_least']:11} {f['fps_median']:7} {f['skipped']:9} {f['late']:6} "
                f"{f['cores']:8}{note}",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    asyncio.run(run(sorted(options.sessions), options.seconds, options.device))
    return 0


if __name__ == "__main__":
    sys.exit(main())
