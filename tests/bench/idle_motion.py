"""How still a character is when nothing is said, and how smoothly speech begins and ends.

    python -m tests.bench.idle_motion [--character DIR]

Draws one session at full size as it is drawn live: idle, an utterance, idle, an utterance that is
cleared, 10 s of digital silence spoken as a segment, 10 s of white noise at −50 dB, idle. Then:

* motion: the mean |difference| of successive pictures in the mouth region (where loud speech
  changes the face), in the rest of the head (the portrait's mask) and in the lips (where speech
  changes it most: there every motion of the head shows too, since nothing else has such contrast);
  of the mouth by itself, the difference from the same picture with the silent audio vector;
* the largest change of the mouth region where speech begins and ends, against the median change
  while speaking;
* the change where the idle walk turns against its median, and the head's change of velocity.
"""

import argparse
import itertools
import sys
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import soxr

from avatar_contracts.audio import CHUNK_SAMPLES, SAMPLE_RATE_HZ
from avatar_worker.character import Character, load_bundle
from avatar_worker.drawing import FADE_IN_FRAMES, FADE_OUT_FRAMES, FRAME_S, Drawing, Picture
from avatar_worker.engines.base import FrameRequest
from avatar_worker.engines.synctalk import SyncTalkEngine
from avatar_worker.render.painters import kernel
from avatar_worker.render.renderer import FrameRequest as RenderRequest
from avatar_worker.render.renderer import Renderer
from avatar_worker.render.scene import Scene
from avatar_worker.slots import SHIPPED_CHARACTER

SPEECH = Path(__file__).parents[1] / "data/synctalk-mini/audio/cross.wav"
SPEECH_TIMES = 3
"""The recorded utterance is 1.6 s long."""
STILL_S = 10
NOISE_DB = -50.0
CHANGED_LEVELS = 2.0
"""What loud speech changes by more than this, on average, belongs to the mouth region."""
LIPS_SHARE = 0.5
"""What it changes by more than this share of the largest change are the lips."""
REGION_POSES = 5
REGION_VECTORS = 8
OWN_EVERY = 5
"""Every so many pictures are drawn a second time with the mouth at rest."""
TURN_SLOTS = 6
"""So many pictures on either side of a turn are looked at."""
COST_S = 0.008
NEVER_S = 1e9
IDLE, SPEECH_SEGMENT, CLEARED, SILENCE, NOISE = range(5)
HEAD_POINTS = 0.3 * np.array(list(itertools.product((-1, 1), repeat=3)), np.float64)
"""Corners of a cube about as large as a head, in the field's axes."""


class Watched:
    """The engine's renderer; remembers the last request."""

    max_batch = 1

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.last: RenderRequest | None = None

    def render_all(self, requests: list[RenderRequest]) -> list[np.ndarray]:
        self.last = requests[-1]
        return self._renderer.render_all(requests)


@dataclass(frozen=True, slots=True)
class Regions:
    """Where in the picture. Truth values [H, W]."""

    mouth: np.ndarray
    lips: np.ndarray
    rest: np.ndarray


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of the session.

    Attributes:
        request: what was drawn.
        segment: its segment, also while the mouth closes; `IDLE` between segments.
        mouth: mean |difference| from the picture before in the mouth region, levels.
        lips: likewise in the lips.
        rest: likewise in the rest of the head.
        own: mean |difference| of the mouth region from the mouth at rest; NaN if not looked at.
        distance: of the audio vector from the silent one.
        points: where points of the head are, px. [8, 2]
    """

    request: FrameRequest
    segment: int
    mouth: float
    lips: float
    rest: float
    own: float
    distance: float
    points: np.ndarray


class Session:
    """Draws slot after slot in simulated time, through `Drawing`, as the render thread does."""

    def __init__(self, engine: SyncTalkEngine) -> None:
        self._engine = engine
        self._face = engine.open({})
        self._pictures: dict[int, np.ndarray] = {}
        self._requests: dict[int, RenderRequest] = {}
        self._slot = 0
        self.drawing = Drawing(
            engine,
            self._face,
            time_of_slot=lambda slot: slot * FRAME_S,
            on_ready=lambda: None,
            wake=lambda: None,
        )

    def pictures(self, frames: int) -> Iterator[tuple[FrameRequest, RenderRequest, np.ndarray]]:
        """The next pictures that are shown: what was asked for, and drawn."""
        for _ in range(frames):
            self._work()
            picture = self.drawing.take(self._slot)
            assert picture is not None, f"slot {self._slot} was not drawn"
            yield picture.request, self._requests[self._slot], self._pictures[self._slot]
            self._pictures = {s: p for s, p in self._pictures.items() if s > self._slot}
            self._slot += 1

    def say(self, number: int, samples: np.ndarray) -> int:
        """Give a whole segment; the slot it begins in. Its pictures come next."""
        for start in range(0, len(samples), CHUNK_SAMPLES):
            self.drawing.hear(number, samples[start : start + CHUNK_SAMPLES])
        self.drawing.end(number)
        self._work()
        assert self.drawing.prospect(number, 0) is not None
        return self.drawing.start(number, 0, self._now())

    def _now(self) -> float:
        """A little before the next slot is shown."""
        return (self._slot - 0.5) * FRAME_S

    def _work(self) -> None:
        while (offer := self.drawing.offer(self._now())) is not None and offer.at <= self._now():
            if offer.listen_to is not None:
                self.drawing.listen(offer.listen_to)
                continue
            assert offer.request is not None
            (picture,) = self._engine.draw([(self._face, offer.request)])
            watched: Watched = self._engine._renderer  # type: ignore[assignment]
            assert watched.last is not None
            self._requests[offer.request.slot] = watched.last
            self._pictures[offer.request.slot] = picture
            self.drawing.accept(offer, Picture(offer.request, np.zeros((0, 0), np.uint8)), COST_S)


def recorded_speech() -> np.ndarray:
    with wave.open(str(SPEECH)) as file:
        rate_hz = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
    return np.asarray(soxr.resample(np.tile(samples, SPEECH_TIMES), rate_hz, SAMPLE_RATE_HZ))


def white_noise(seconds: float, level_db: float) -> np.ndarray:
    values = np.random.default_rng(5).standard_normal(int(seconds * SAMPLE_RATE_HZ))
    return (values * 10 ** (level_db / 20)).astype(np.float32)


def find_regions(character: Character, renderer: Renderer, engine: SyncTalkEngine) -> Regions:
    """The mouth region at all poses together: the hull of what loud speech changes."""
    assert character.scenes is not None
    assert character.audio is not None
    hearing = engine.open({}).listen()
    hearing.push(recorded_speech())
    hearing.finish()
    silent = character.audio.silence()
    vectors = sorted(hearing.vectors, key=lambda v: -float(np.linalg.norm(v - silent)))
    changed, masks = [], []
    for pose in np.linspace(0, character.scenes.n_scenes - 1, REGION_POSES).astype(int).tolist():
        closed = renderer.render(RenderRequest(silent, pose))
        for vector in vectors[:REGION_VECTORS]:
            spoken = renderer.render(RenderRequest(vector, pose))
            changed.append(cv2.absdiff(spoken, closed).mean(axis=2))
        mask = character.scenes.scene(pose).mask
        masks.append(np.full(closed.shape[:2], 255, np.uint8) if mask is None else mask)
    change = np.mean(changed, axis=0)
    moved = (change > CHANGED_LEVELS).astype(np.uint8)
    moved = cv2.morphologyEx(moved, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(moved)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    outline = cv2.convexHull(np.argwhere(labels == largest)[:, ::-1].astype(np.int32))
    mouth = cv2.fillConvexPoly(np.zeros_like(moved), outline, 1) > 0
    head = np.mean(masks, axis=0) > 127
    return Regions(mouth, change > LIPS_SHARE * change.max(), head & ~mouth)


def head_points(scene: Scene) -> np.ndarray:
    """Points of the head in the picture, px. [8, 2]"""
    seen = (HEAD_POINTS - scene.pose[:3, 3]) @ scene.pose[:3, :3]
    camera = scene.intrinsics
    return np.asarray(seen[:, :2] / seen[:, 2:] * (camera.fx, camera.fy))


def show(character: Character, renderer: Renderer, engine: SyncTalkEngine) -> list[Shown]:
    """The whole session, picture by picture; the first one is left out."""
    scenes = character.scenes
    assert scenes is not None
    assert character.audio is not None
    regions = find_regions(character, renderer, engine)
    print(
        f"{character.name}, {character.width} × {character.height}, mouth region "
        f"{regions.mouth.sum()} px, lips {regions.lips.sum()} px, "
        f"rest of the head {regions.rest.sum()} px"
    )
    silent = character.audio.silence()
    speech = recorded_speech()
    session = Session(engine)
    shown: list[Shown] = []
    before: np.ndarray | None = None
    part = IDLE

    def draw(frames: int) -> None:
        nonlocal before
        for request, drawn, picture in session.pictures(frames):
            own = float("nan")
            if request.slot % OWN_EVERY == 0:
                own = 0.0
                if not np.array_equal(drawn.enc_a, silent):
                    closed = renderer.render(replace(drawn, enc_a=silent))
                    own = float(cv2.absdiff(picture, closed)[regions.mouth].mean())
            scene = drawn.scene or scenes.scene(drawn.pose_index)
            distance = float(np.linalg.norm(drawn.enc_a - silent))
            if before is not None:
                change = cv2.absdiff(picture, before)
                where = (regions.mouth, regions.lips, regions.rest)
                mouth, lips, rest = (float(change[region].mean()) for region in where)
                segment = part if request.hearing is not None else IDLE
                points = head_points(scene)
                shown.append(Shown(request, segment, mouth, lips, rest, own, distance, points))
            before = picture

    draw(2 * scenes.n_scenes + 3 * TURN_SLOTS)
    for part, samples in (
        (SPEECH_SEGMENT, speech),
        (CLEARED, speech),
        (SILENCE, np.zeros(STILL_S * SAMPLE_RATE_HZ, np.float32)),
        (NOISE, white_noise(STILL_S, NOISE_DB)),
    ):
        frames = session.say(part, samples) - session._slot
        frames += 30 if part == CLEARED else round(len(samples) / SAMPLE_RATE_HZ / FRAME_S)
        draw(frames)
        if part == CLEARED:
            session.drawing.clear(part)
        draw(2 * FADE_OUT_FRAMES)
    return shown


def report_motion(shown: list[Shown]) -> None:
    print("\nmotion, mean |difference|, levels   mouth   rest of head   lips   mouth by itself")
    for part, name in (
        (IDLE, "idle"),
        (SILENCE, "10 s of digital silence"),
        (NOISE, f"10 s of noise at {NOISE_DB:.0f} dB"),
        (SPEECH_SEGMENT, "speech"),
    ):
        chosen = [s for s in shown if s.segment == part]
        mouth, rest, lips = (
            np.mean([getattr(s, region) for s in chosen]) for region in ("mouth", "rest", "lips")
        )
        own = np.array([s.own for s in chosen if not np.isnan(s.own)])
        print(
            f"{name:32}{mouth:9.2f}{rest:15.2f}{lips:7.2f}{own.mean():10.2f} (max {own.max():.2f})"
        )
    print("\naudio vector, distance from the silent one   median      max   step to the next")
    for part, name in ((SILENCE, "silence"), (NOISE, "noise"), (SPEECH_SEGMENT, "speech")):
        distances = [s.distance for s in shown if s.segment == part]
        step = np.mean(np.abs(np.diff(distances)))
        print(f"{name:44}{np.median(distances):8.3f}{np.max(distances):9.3f}{step:12.3f}")


def report_transitions(shown: list[Shown]) -> None:
    speaking = [s.mouth for s in shown if s.segment == SPEECH_SEGMENT and s.request.is_sounding]
    median = float(np.median(speaking))
    print(
        f"\nlargest change of the mouth region, levels (while speaking: median {median:.2f}, "
        f"largest {max(speaking):.2f} = {max(speaking) / median:.2f} × the median)"
    )
    for part, name in ((SPEECH_SEGMENT, "speech"), (CLEARED, "cleared speech")):
        at = [i for i, s in enumerate(shown) if s.segment == part and s.request.is_sounding]
        begins = shown[at[0] : at[0] + FADE_IN_FRAMES]
        ends = shown[at[-1] + 1 : at[-1] + 2 + FADE_OUT_FRAMES]
        for what, near in ((f"idle → {name}", begins), (f"{name} → idle", ends)):
            most = max(s.mouth for s in near)
            print(f"{what:28}{most:8.2f} = {most / median:.2f} × the median")


def report_turns(shown: list[Shown]) -> None:
    """A turn is where the head's path is the same backwards."""
    idle = list(itertools.takewhile(lambda s: s.segment == IDLE, shown))
    path = np.stack([s.points for s in idle])  # [n, 8, 2]
    steps = np.linalg.norm(np.diff(path, axis=0), axis=2).mean(axis=1)
    bends = np.linalg.norm(np.diff(path, n=2, axis=0), axis=2).mean(axis=1)
    change = np.array([s.rest for s in idle])
    median, speed = float(np.median(change)), float(np.median(steps))
    print(
        f"\nturns of the idle walk (medians of idle: change of the rest of the head {median:.2f} "
        f"levels, its speed {speed:.2f} px, its bend {np.median(bends):.3f} px)"
    )
    for first, last in _turns(path):
        near = slice(first - TURN_SLOTS + 1, last + TURN_SLOTS + 1)
        inner = change[first + 1 : last + 1] if last > first else change[first : first + 2]
        bend = bends[first - 2 : last + 1].max()
        print(
            f"picture {idle[first].request.slot:4}   largest change around it "
            f"{change[near].max():.2f} = {change[near].max() / median:.2f} × the median, "
            f"smallest {change[near].min():.2f}, at the turn {inner.max():.2f}, "
            f"bend {bend:.3f} px = {bend / speed:.2f} × the median speed"
        )


def _turns(path: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last picture of every turn: equal when the end is shown once."""
    for at in range(TURN_SLOTS, len(path) - TURN_SLOTS - 1):
        for last in (at, at + 1):
            before = path[at - TURN_SLOTS : at][::-1]
            after = path[last + 1 : last + 1 + TURN_SLOTS]
            is_still = np.allclose(path[at - TURN_SLOTS], path[at])
            if np.allclose(before, after) and np.allclose(path[at], path[last]) and not is_still:
                yield at, last


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--character", type=Path, default=SHIPPED_CHARACTER)
    character = load_bundle(parser.parse_args().character)
    print("drawn by", "PyTorch" if (compiled := kernel()) is None else compiled.isa)
    engine = SyncTalkEngine(character, device="cpu", threads=2)
    renderer = engine._renderer
    engine._renderer = Watched(renderer)  # type: ignore[assignment]
    shown = show(character, renderer, engine)
    report_motion(shown)
    report_transitions(shown)
    report_turns(shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
