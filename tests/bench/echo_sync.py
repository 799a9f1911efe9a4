"""Sound against picture when the avatar repeats a microphone.

    python -m tests.bench.echo_sync [--codec vp8|h264] [--rounds N] [--size 256]

A visitor publishes sound that goes on and off; the agent's echo takes it from the room and writes
it for the avatar, one session with the test card; a subscriber watches, beside the control
publisher of zero skew (see `live_sync`). What arrives through a microphone begins anywhere in a
picture's 40 ms, so the segments are read from the audio stream as well: their samples say how far
each edge of the sound is from the edge of its picture when both are in step, and that is taken off.
"""

import argparse
import asyncio
import json
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from numpy.typing import NDArray
from redis.asyncio import Redis

from agent_worker.audio_output import RedisAudioOutput
from agent_worker.echo import echo, microphone
from agent_worker.observability import configure_logging
from avatar_contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from avatar_contracts.codec import decode
from avatar_contracts.messages import AudioChunk, ClearBuffer
from avatar_contracts.streams import audio_key
from avatar_platform.local.engines import LiveKitAddress, livekit_server, redis_server
from avatar_worker.engines.test_card import LOUD_RMS
from tests.bench.live.claims import test_card_claim
from tests.bench.live.pattern import on_off_frames, sound_of
from tests.bench.live.rooms import create_room, token
from tests.bench.live.viewer import Viewer, edges_of
from tests.bench.live_sync import PAIR_MAX_S, Measured, judge_control, own, process, table

LONGEST_PAUSE_FRAMES = 6
"""240 ms: the echo takes a longer pause for the end of the utterance."""
ROOM_NOISE = 0.001
STRETCH_MAX_S = 0.02
"""A receiver may stretch the sound; edges of one segment move by less than this."""


@dataclass
class Segment:
    """What the echo wrote for the avatar."""

    pcm: bytearray = field(default_factory=bytearray)
    is_cleared: bool = False
    after_clear: bool = False

    def edges(self) -> list[tuple[float, float, bool]]:
        """`(sound edge, edge of its picture, is_loud)`, in seconds from the segment's start."""
        samples = np.frombuffer(bytes(self.pcm), "<i2").astype(np.float64) / 32768
        padded = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES))
        level = np.sqrt(np.square(padded.reshape(-1, FRAME_SAMPLES)).mean(axis=1))
        is_white = np.concatenate([[False], level >= LOUD_RMS, [False]]).astype(np.int8)
        turns = [(int(i), bool(is_white[i + 1])) for i in np.flatnonzero(np.diff(is_white))]
        found = []
        for at, loud in edges_of(samples, SAMPLE_RATE_HZ):
            frame = at / FRAME_SAMPLES
            near = [i for i, white in turns if white == loud and abs(i - frame) < 1.5]
            if near:
                nearest = min(near, key=lambda i: abs(i - frame))
                found.append((at / SAMPLE_RATE_HZ, nearest * FRAME_SAMPLES / SAMPLE_RATE_HZ, loud))
        return found


class StreamReader:
    """Reads the session's audio stream beside the avatar."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._key = key
        self.segments: dict[int, Segment] = {}

    async def run(self) -> None:
        last: Any = b"0-0"
        cleared = False
        while True:
            reply: Any = await self._redis.xread({self._key: last}, block=200)
            for entry_id, entry in reply[0][1] if reply else []:
                last, message = entry_id, decode(entry)
                if isinstance(message, ClearBuffer):
                    cleared = True
                    if message.segment in self.segments:
                        self.segments[message.segment].is_cleared = True
                elif isinstance(message, AudioChunk):
                    if message.segment not in self.segments:
                        self.segments[message.segment] = Segment(after_clear=cleared)
                        cleared = False
                    self.segments[message.segment].pcm += message.pcm


class Visitor:
    """A participant whose microphone is ours."""

    def __init__(self) -> None:
        self.room = rtc.Room()
        self._source = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=200)
        self._noise = np.random.default_rng(7)

    async def join(self, url: str, join_token: str) -> None:
        await self.room.connect(url, join_token, rtc.RoomOptions(auto_subscribe=False))
        track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
        await self.room.local_participant.publish_track(track, options)

    async def play(self, sound: NDArray[np.int16]) -> None:
        """In real time, over the noise of a quiet room."""
        noise = self._noise.normal(0.0, ROOM_NOISE * 32768, len(sound))
        heard = np.clip(sound + noise, -32768, 32767).astype("<i2")
        for piece in heard.reshape(-1, SAMPLE_RATE_HZ // 100):
            frame = rtc.AudioFrame(piece.tobytes(), SAMPLE_RATE_HZ, 1, len(piece))
            await self._source.capture_frame(frame)

    async def speak(self, frames: int, seed: int) -> None:
        pattern = on_off_frames(frames, seed, longest=LONGEST_PAUSE_FRAMES)
        await self.play(np.frombuffer(sound_of(pattern, seed), "<i2"))

    async def pause(self, seconds: float) -> None:
        await self.play(np.zeros(round(seconds * 100) * SAMPLE_RATE_HZ // 100, np.int16))


async def drive(visitor: Visitor, output: RedisAudioOutput, rounds: int) -> None:
    """Sentences with rests between them, then sentences that are interrupted while they go on."""
    await visitor.pause(3.0)
    for seed in range(rounds):
        await visitor.speak(75, seed)
        await visitor.pause(1.5)
    for seed in range(rounds, 2 * rounds):
        speaking = asyncio.create_task(visitor.speak(150, seed))
        await asyncio.sleep(2.0)
        output.clear_buffer()
        await speaking
        await visitor.pause(1.5)


async def measure(
    livekit: LiveKitAddress, redis_url: str, *, rounds: int, codec: str, size: int
) -> Measured:
    name = f"echo-{codec}"
    claim = test_card_claim(livekit, name, size)
    await create_room(livekit, name)
    redis = Redis.from_url(redis_url, protocol=2)
    avatar, control, visitor = Viewer("avatar"), Viewer("control"), Visitor()
    output = RedisAudioOutput(redis, name)
    agent = rtc.Room()
    repeating: list[asyncio.Task[None]] = []

    def on_track(track: rtc.Track, _: Any, who: rtc.RemoteParticipant) -> None:
        if who.identity == "visitor":
            assert isinstance(track, rtc.RemoteAudioTrack)
            sound = microphone(track)
            repeating.append(asyncio.create_task(echo(sound, output, lambda _: None)))

    result = Measured()
    reader = StreamReader(redis, audio_key(name, claim.epoch))
    reading = asyncio.create_task(reader.run())
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record.npz"
        await avatar.join(livekit.url, token(livekit, name, "viewer-a"))
        await control.join(livekit.url, token(livekit, name, "viewer-c"))
        output.start()
        output.assign(claim.epoch)
        agent.on("track_subscribed", on_track)
        await agent.connect(livekit.url, token(livekit, name, "agent", is_avatar=True))
        control_token = token(livekit, name, "control")
        arguments = [json.dumps(asdict(claim)), redis_url, str(record), "0", codec]
        async with (
            process("control_process", livekit.url, control_token, codec, str(size)),
            process("avatar_process", *arguments),
        ):
            await visitor.join(livekit.url, token(livekit, name, "visitor"))
            await drive(visitor, output, rounds)
        for task in (*repeating, reading):
            task.cancel()
        await asyncio.gather(*repeating, reading, return_exceptions=True)
        await output.aclose()
        for room in (agent, visitor.room):
            await room.disconnect()
        await avatar.aclose()
        await control.aclose()
        await redis.aclose()
        judge_control(result, control)
        judge(result, reader.segments, avatar)
        pushed = np.load(record)["pushed"]
        result.heard_whole = is_whole(list(reader.segments.values()), pushed)
    return result


def judge(result: Measured, segments: dict[int, Segment], avatar: Viewer) -> None:
    """Every segment is found again in what was heard; then its pictures' edges are."""
    heard, shown = avatar.sound_edges(), avatar.picture_edges()
    after = 0.0
    for number, segment in sorted(segments.items()):
        edges = segment.edges()
        pairs = align([(at, loud) for at, _, loud in edges], heard, after)
        offsets = []
        for (at, picture_at, loud), heard_at in zip(edges, pairs, strict=True):
            if heard_at is None:
                continue
            due = heard_at + picture_at - at
            near = [p - due for p, white in shown if white == loud and abs(p - due) < PAIR_MAX_S]
            if near:
                offsets.append((heard_at, 1000 * min(near, key=abs)))
                after = heard_at
        lost = len(edges) - len(offsets)
        if lost and not segment.is_cleared:
            result.notes.append(f"segment {number}: {lost} of {len(edges)} edges not found")
        if segment.after_clear:
            parts = {"after interruption": offsets}
        else:
            parts = {"idle → speech": offsets[:1], "mid-speech": offsets[1:]}
            if not segment.is_cleared:
                parts |= {"mid-speech": offsets[1:-1], "speech → idle": offsets[-1:]}
        for part, some in parts.items():
            result.offsets.setdefault(part, []).extend(o for _, o in some)
            result.sent.setdefault(part, []).extend(o + own(avatar, at) for at, o in some)


def align(
    edges: list[tuple[float, bool]], heard: list[tuple[float, bool]], after: float
) -> list[float | None]:
    """When each edge of a segment was heard; the start is where most of its edges agree."""
    best: list[float | None] = [None] * len(edges)
    for start in [h - edges[0][0] for h, loud in heard if loud and h > after] if edges else []:
        found = []
        for at, loud in edges:
            near = [
                h for h, state in heard if state == loud and abs(h - start - at) < STRETCH_MAX_S
            ]
            found.append(min(near, key=lambda h: abs(h - start - at)) if near else None)
        if sum(x is not None for x in found) > sum(x is not None for x in best):
            best = found
    return best


def is_whole(segments: list[Segment], pushed: NDArray[np.int16]) -> bool:
    """Every sample handed over once and in order; of cleared segments, a beginning.

    Digital silence does not count: it stands between segments and fills up their last frame.
    """
    left = pushed[np.abs(pushed).max(axis=1) > 0]
    at = 0
    for segment in segments:
        samples = np.frombuffer(bytes(segment.pcm), "<i2")
        frames = np.pad(samples, (0, -len(samples) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
        frames = frames[np.abs(frames).max(axis=1) > 0]
        same = 0
        while same < len(frames) and at < len(left) and (frames[same] == left[at]).all():
            same, at = same + 1, at + 1
        if same < len(frames) and not segment.is_cleared:
            return False
    return at == len(left)


async def main(arguments: argparse.Namespace) -> None:
    configure_logging("console")
    with livekit_server() as livekit, redis_server() as redis_url:
        print(f"--- {arguments.codec}, {arguments.size}²")
        table(
            await measure(
                livekit,
                redis_url,
                rounds=arguments.rounds,
                codec=arguments.codec,
                size=arguments.size,
            )
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codec", default="vp8", choices=["vp8", "h264"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--size", type=int, default=256)
    asyncio.run(main(parser.parse_args()))
