"""The live path measured at a real viewer: sync, latency, interruption.

    python -m tests.bench.live_sync [--codec vp8|h264] [--rounds N] [--size 256] [--slow-only]

Real LiveKit server, real Redis, one avatar session in a process of its own, a producer that writes
bursts as the agent worker does, a Python subscriber that reads the test card. The subscriber does
not align sound and picture, so every offset is told against a control publisher of known zero skew,
seen by the same subscriber in the same run; `own` is the part its jitter buffers explain.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis

from avatar_contracts.messages import PlayoutFinished, PlayoutReady, PlayoutStarted
from avatar_platform.local.engines import LiveKitAddress, livekit_server, redis_server
from tests.bench.live.claims import test_card_claim
from tests.bench.live.pattern import on_off_frames, sound_of
from tests.bench.live.producer import Producer
from tests.bench.live.rooms import create_room, token
from tests.bench.live.viewer import Viewer

PAIR_MAX_S = 0.11


@dataclass
class Measured:
    """Offsets (picture − sound, ms) by case, as the subscriber saw them, and other figures (ms)."""

    offsets: dict[str, list[float]] = field(default_factory=dict)
    control: list[float] = field(default_factory=list)
    sent: dict[str, list[float]] = field(default_factory=dict)
    control_sent: float = 0.0
    start_ms: list[float] = field(default_factory=list)
    picture_ms: list[float] = field(default_factory=list)
    clear_ms: list[float] = field(default_factory=list)
    stale_ms: list[float] = field(default_factory=list)
    heard_whole: bool = False
    """Every sample was handed over exactly once, in order."""
    notes: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def process(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.bench.live.{module}", *arguments
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), 10)
        except TimeoutError:
            child.kill()


def pair_edges(
    sound: Sequence[tuple[float, bool]], picture: Sequence[tuple[float, bool]]
) -> list[tuple[float, float]]:
    """`(time of the sound edge, picture − sound in ms)` for edges that belong together."""
    pairs = []
    for at, is_loud in sound:
        near = [p - at for p, loud in picture if loud == is_loud and abs(p - at) < PAIR_MAX_S]
        if near:
            pairs.append((at, 1000 * min(near, key=abs)))
    return pairs


async def drive(producer: Producer, rounds: int) -> list[tuple[str, float, float]]:
    """Speak in every way that matters; which case was on between which times."""
    cases = []
    seed = 0

    def speech(frames: int) -> bytes:
        nonlocal seed
        seed += 1
        return sound_of(on_off_frames(frames, seed), seed)

    await producer.wait_for(PlayoutReady)
    await asyncio.sleep(2.0)
    for _ in range(rounds):
        number = await producer.speak(speech(75))
        began = await producer.wait_for(PlayoutStarted, number)
        ended = await producer.wait_for(PlayoutFinished, number)
        cases.append(("utterance", began, ended + 0.2))
        await asyncio.sleep(0.7)
    for _ in range(rounds):
        number = await producer.speak(speech(200))
        await producer.wait_for(PlayoutStarted, number)
        await asyncio.sleep(1.3)
        cleared = await producer.clear()
        await producer.wait_for(PlayoutFinished, number)
        cases.append(("clear", cleared, cleared + 0.5))
        await asyncio.sleep(0.5)
        number = await producer.speak(speech(60))
        began = await producer.wait_for(PlayoutStarted, number)
        ended = await producer.wait_for(PlayoutFinished, number)
        cases.append(("after interruption", began, ended + 0.2))
        await asyncio.sleep(0.5)
    for _ in range(rounds):
        number = await producer.speak(speech(25), flush=False)
        await asyncio.sleep(1.9)
        began = time.monotonic()
        await producer.more(speech(50))
        await producer.flush()
        ended = await producer.wait_for(PlayoutFinished, number)
        cases.append(("after underrun", began, ended + 0.2))
        await asyncio.sleep(0.5)
    return cases


async def measure(
    livekit: LiveKitAddress, redis_url: str, *, rounds: int, draw_ms: float, codec: str, size: int
) -> Measured:
    """One avatar process, one control, one viewer."""
    name = f"bench-{int(draw_ms)}-{codec}"
    claim = test_card_claim(livekit, name, size)
    await create_room(livekit, name)
    redis = Redis.from_url(redis_url, protocol=2)
    avatar, control = Viewer("avatar"), Viewer("control")
    result = Measured()
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.npz"
        await avatar.join(livekit.url, token(livekit, name, "viewer-a"))
        await control.join(livekit.url, token(livekit, name, "viewer-c"))
        producer = Producer(redis, name, 1)
        control_token = token(livekit, name, "control")
        async with (
            process("control_process", livekit.url, control_token, codec, str(size)),
            process(
                "avatar_process",
                json.dumps(asdict(claim)),
                redis_url,
                str(record),
                str(draw_ms),
                codec,
            ),
        ):
            cases = await drive(producer, rounds)
        await avatar.aclose()
        await control.aclose()
        await redis.aclose()
        judge(result, cases, avatar, control, "slow" if draw_ms else "")
        judge_record(result, producer, np.load(record))
    return result


def judge(
    result: Measured,
    cases: list[tuple[str, float, float]],
    avatar: Viewer,
    control: Viewer,
    prefix: str,
) -> None:
    judge_control(result, control)
    sound = avatar.sound_edges()
    pairs = pair_edges(sound, avatar.picture_edges())
    for case, began, ended in cases:
        inside = [(at, offset) for at, offset in pairs if began <= at <= ended]
        edges = [at for at, _ in sound if began <= at <= ended]
        if case == "clear":
            silenced = [at for at, loud in sound if not loud and began <= at <= ended]
            if silenced:
                result.stale_ms.append(1000 * (silenced[0] - began))
            continue
        result.notes += [f"{case}: {len(edges) - len(inside)} edges unpaired"] * (
            len(edges) > len(inside)
        )
        if case == "utterance" and len(inside) >= 3:
            parts = {
                "idle → speech": inside[:1],
                "mid-speech": inside[1:-1],
                "speech → idle": inside[-1:],
            }
        else:
            parts = {case: inside}
        for part, offsets in parts.items():
            name = f"{prefix} {part}".strip()
            result.offsets.setdefault(name, []).extend(o for _, o in offsets)
            result.sent.setdefault(name, []).extend(o + own(avatar, at) for at, o in offsets)
    numbers = [s.number for s in avatar.seen]
    gaps = int(np.sum(np.diff(numbers) != 1))
    result.notes.append(f"viewer: {len(numbers)} pictures, {gaps} jumps in their numbers")


def judge_control(result: Measured, control: Viewer) -> None:
    pairs = pair_edges(control.sound_edges(), control.picture_edges())
    result.control = [offset for _, offset in pairs]
    result.control_sent = float(np.median([o + own(control, at) for at, o in pairs]))


def own(viewer: Viewer, at: float) -> float:
    return 1000 * viewer.buffered_s(at)


def judge_record(result: Measured, producer: Producer, record: "np.lib.npyio.NpzFile") -> None:
    """Hand-over times: first sample and picture after the first chunk; clear after the order."""
    is_speech = np.abs(record["pushed"]).max(axis=1) > 0
    push_at, show_at = record["push_at"], record["show_at"]
    sounding = record["sounding"]
    result.heard_whole = is_whole(producer, record["pushed"][is_speech])
    skips = np.diff(record["slot"]) - 1
    result.notes.append(f"sender: {len(show_at)} pictures, {int((skips > 0).sum())} jumps; ")
    spacing = np.percentile(1000 * np.diff(show_at), [0, 1, 99, 100])
    result.notes.append(f"spacing of pictures, ms: {np.round(spacing)} (least, p1, p99, most)")
    for sent in producer.sent_at.values():
        pushed = push_at[is_speech & (push_at > sent)]
        shown = show_at[sounding & (show_at > sent)]
        if len(pushed) and len(shown):
            result.start_ms.append(1000 * (pushed[0] - sent))
            result.picture_ms.append(1000 * (shown[0] - sent))


def is_whole(producer: Producer, pushed: NDArray[np.int16]) -> bool:
    """Every sample handed over once and in order; of cleared segments, a beginning."""
    at = 0
    for segment, pcm in sorted(producer.spoken.items()):
        frames = np.frombuffer(pcm, np.int16).reshape(-1, pushed.shape[1])
        n = 0
        while n < len(frames) and at + n < len(pushed) and (frames[n] == pushed[at + n]).all():
            n += 1
        at += n
        if n < len(frames) and segment not in producer.cleared:
            return False
    return at == len(pushed)


def spread(off: NDArray[np.float64]) -> str:
    if not len(off):
        return f"{0:4d}"
    low, middle, high = np.percentile(off, [1, 50, 99])
    share = 100 * np.mean(np.abs(off) <= 20)
    return f"{len(off):4d} {middle:8.1f} {low:8.1f} {high:8.1f} {share:9.0f}%"


def table(result: Measured) -> None:
    control = float(np.median(result.control))
    print(f"control: picture − sound {control:+.1f} ms (n {len(result.control)}), ", end="")
    print(f"{result.control_sent:+.1f} ms without its receiver's buffers")
    head = f"{'n':>4s} {'median':>8s} {'p1':>8s} {'p99':>8s} {'within 20':>10s}"
    print(f"{'case (ms against the control)':30s} {head} | without the receivers' buffers")
    for case in result.offsets:
        raw = spread(np.array(result.offsets[case]) - control)
        sent = spread(np.array(result.sent[case]) - result.control_sent)
        print(f"{case:30s} {raw} | {sent}")
    for name, values in (
        ("first chunk → first sample handed over", result.start_ms),
        ("first chunk → first picture handed over", result.picture_ms),
        ("clear sent → silence at the viewer", result.stale_ms),
    ):
        if values:
            p50, p95 = np.percentile(values, [50, 95])
            print(f"{name:42s} n {len(values):3d}  p50 {p50:6.1f}  p95 {p95:6.1f} ms")
    print("every sample handed over once, in order:", "yes" if result.heard_whole else "NO")
    for note in result.notes:
        print("  ", note)


async def main(arguments: argparse.Namespace) -> None:
    with livekit_server() as livekit, redis_server() as redis_url:
        for draw_ms in (45.0,) if arguments.slow_only else (0.0, 45.0):
            print(f"--- {arguments.codec}, {arguments.size}², {draw_ms:.0f} ms a picture")
            table(
                await measure(
                    livekit,
                    redis_url,
                    rounds=arguments.rounds,
                    draw_ms=draw_ms,
                    codec=arguments.codec,
                    size=arguments.size,
                )
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", default="vp8", choices=["vp8", "h264"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--slow-only", action="store_true")
    asyncio.run(main(parser.parse_args()))
