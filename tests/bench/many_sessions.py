"""Many sessions in one process: what each more of them costs, and that none changes another's.

    python -m tests.bench.many_sessions [--frames 10] [--size 256] [--sessions 1 2 4 8 16 32]
                                        [--device cpu|cuda]

Shelf, scheduler, drawings and engines are a worker's own; rooms and the sound's way out are left
out. Every session says something else, and time is virtual: pictures are shown 40 ms apart however
long they take, so that all are drawn and what is measured is work, not waiting. A frame's time is
all of it, in the midst of speech: hearing, drawing, conversion for the video track. `busy` is
processor time, all threads, which other processes disturb less. Each picture is compared with that
of the same session alone on another shelf.
"""

import argparse
import ctypes
import gc
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avatar_contracts.audio import CHUNK_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ
from avatar_contracts.beat import Claim
from avatar_worker.audio.sound import read_sound
from avatar_worker.drawing import FRAME_S, Drawing
from avatar_worker.engines.base import Engine, Samples
from avatar_worker.engines.shelf import EngineShelf
from avatar_worker.import_bundle import BundleOptions, write_bundle
from avatar_worker.observability import configure_logging
from avatar_worker.scheduler import Scheduler
from avatar_worker.slots import SHIPPED_CHARACTER
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import mini

COUNTS = (1, 2, 4, 8, 16, 32)
SOUND_FRAMES = 40
"""Heard ahead of the picture shown, at most, and a little more."""
WAITING_SOUND_S = 20
"""As much as the agent may send ahead of what is heard: a session at its largest."""
SHIFT_SAMPLES = 1237
"""Between the sounds of two sessions."""
RUNS = 4
"""Sessions that every row is measured with at least, a few at a time."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Speaking:
    """A session that speaks from its first picture on, and has more to say than is asked for."""

    engine: Engine
    sound: Samples
    scheduler: Scheduler
    clock: Clock
    shown: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.drawing = Drawing(
            self.engine,
            self.engine.open({}),
            time_of_slot=lambda slot: slot * FRAME_S,
            on_ready=lambda: None,
            wake=self.scheduler.wake,
        )
        for start in range(0, len(self.sound), CHUNK_SAMPLES):
            self.drawing.hear(1, self.sound[start : start + CHUNK_SAMPLES])
        self.scheduler.add(self.drawing)

    def show(self, slot: int) -> None:
        """Keep a digest of the picture that is due."""
        if slot == 0:
            assert self.drawing.start(1, 0, self.clock.now) == 0
        picture = self.drawing.take(slot)
        assert picture is not None, self.drawing.failure
        assert picture.request.frame == slot
        assert picture.request.is_sounding
        self.shown.append(hashlib.blake2b(picture.i420.tobytes()).digest())


@dataclass
class Played:
    """What sessions showed, and what it took to draw as many pictures as were shown."""

    shown: list[list[bytes]]
    wall_s: float
    busy_s: float


def play(cast: Sequence[tuple[Engine, Samples]], frames: int) -> Played:
    """Sessions that begin to speak at the same moment."""
    clock = Clock()
    scheduler = Scheduler(clock)
    sessions = [Speaking(engine, sound, scheduler, clock) for engine, sound in cast]
    work(scheduler)
    wall_s = busy_s = 0.0
    for slot in range(frames):
        for session in sessions:
            session.show(slot)
        clock.now += FRAME_S
        began_s, used_s = time.perf_counter(), time.process_time()
        work(scheduler)
        wall_s += time.perf_counter() - began_s
        busy_s += time.process_time() - used_s
    return Played([session.shown for session in sessions], wall_s, busy_s)


def work(scheduler: Scheduler) -> None:
    """Until nothing is to be done at this moment."""
    while scheduler.step() == 0.0:
        pass


def resident_mb(cast: Sequence[tuple[Engine, Samples]], counts: Sequence[int]) -> list[float]:
    """Resident memory with so many sessions, each with all it may keep drawn and waiting."""
    clock = Clock()
    scheduler = Scheduler(clock)
    sessions: list[Speaking] = []
    resident = []
    for count in counts:
        for engine, sound in cast[len(sessions) : count]:
            waiting = np.resize(sound, WAITING_SOUND_S * SAMPLE_RATE_HZ)
            sessions.append(Speaking(engine, waiting, scheduler, clock))
        work(scheduler)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator holds back belongs to nobody
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
    return resident


def write_characters(folder: Path) -> dict[str, Path]:
    """The shipped character, and two more whose pictures are those of the reference's splits."""
    characters = {"shipped": SHIPPED_CHARACTER}
    for split in ("train", "val"):
        options = BundleOptions(name=f"mini-{split}", licence="test data", consent="drawn, nobody")
        trained = open_trained(mini.DATA, mini.WORKSPACE, split=split)
        characters[options.name] = folder / options.name
        write_bundle(trained, characters[options.name], options, encoder=mini.ENCODER)
    return characters


def open_shelf(characters: dict[str, Path], device: str) -> EngineShelf:
    threads = len(os.sched_getaffinity(0))
    return EngineShelf(lambda name, _: characters[name], device=device, threads=threads)


def take(shelf: EngineShelf, names: Sequence[str], n: int, size: int) -> list[Engine]:
    """The engines of `n` sessions that show the characters in turn."""
    return [
        shelf.take(
            Claim(
                session=f"session-{number}",
                epoch=1,
                livekit_url="",
                room="",
                token="",
                avatar_identity="",
                agent_identity="",
                character=names[number % len(names)],
                bundle_sha256=names[number % len(names)],
                engine="synctalk",
                width=size,
                height=size,
            )
        )
        for number in range(n)
    ]


def sounds(n: int, frames: int) -> list[Samples]:
    """The same words in a circle, everybody beginning elsewhere."""
    words = read_sound(mini.CROSS_WAV).mono(SAMPLE_RATE_HZ)
    return [
        np.resize(np.roll(words, -number * SHIFT_SAMPLES), (frames + SOUND_FRAMES) * FRAME_SAMPLES)
        for number in range(n)
    ]


def measure(
    title: str,
    characters: dict[str, Path],
    counts: Sequence[int],
    frames: int,
    size: int,
    device: str,
) -> bool:
    """Print the figures of one cast; whether all pictures are those of the sessions alone."""
    n = max(counts)
    names, spoken = list(characters), sounds(n, frames)
    alone = take(open_shelf(characters, device), names, n, size)
    shown_alone = [play([one], frames).shown[0] for one in zip(alone, spoken, strict=True)]
    together = list(zip(take(open_shelf(characters, device), names, n, size), spoken, strict=True))
    assert len({id(engine) for engine, _ in together}) == len(names), "loaded once each"
    play(together[: len(names)], frames)  # pictures of the pose loop are decoded once
    resident = resident_mb(together, counts)

    different = len({digest for shown in shown_alone for digest in shown})
    base = next((count for count in counts if count >= len(names)), n)
    print(f"{title}, {size} × {size} on {device}, {different} different pictures of {n * frames}")
    print(f"sessions   all, ms   a frame, ms   × of {base:2}   busy, ms   pictures as alone")
    rows = [play_often(together[:count], frames) for count in counts]
    walls = [sum(run.wall_s for run in runs) / len(runs) / frames * 1e3 for runs in rows]
    busies = [sum(run.busy_s for run in runs) / len(runs) / frames * 1e3 for runs in rows]
    one = walls[counts.index(base)] / base
    all_equal = True
    for count, runs, wall, busy in zip(counts, rows, walls, busies, strict=True):
        drawn = len(runs) * count * frames
        equal = sum(count_equal(run.shown, shown_alone) for run in runs)
        all_equal &= equal == drawn
        print(
            f"{count:8} {wall:9.1f} {wall / count:13.2f} {wall / count / one:9.2f} "
            f"{busy / count:10.2f} {equal:9} of {drawn}"
        )
    for what, spent in (("wall", walls), ("processor", busies)):
        slope, intercept = np.polyfit(counts, spent, 1)
        print(f"{what} time of a frame of all: {intercept:.1f} ms + {slope:.2f} ms a session")
    print(
        f"resident {resident[0]:.0f} MB with {counts[0]}, {resident[-1]:.0f} MB with {n} sessions, "
        f"each with {WAITING_SOUND_S} s of sound waiting: "
        f"{np.polyfit(counts, resident, 1)[0]:.1f} MB a session (goal: at most 30)\n"
    )
    return all_equal


def play_often(cast: Sequence[tuple[Engine, Samples]], frames: int) -> list[Played]:
    return [play(cast, frames) for _ in range(max(1, RUNS // len(cast)))]


def count_equal(shown: list[list[bytes]], alone: list[list[bytes]]) -> int:
    """Pictures that are the same as those of the same session alone."""
    return sum(
        picture == same
        for pictures, expected in zip(shown, alone, strict=False)
        for picture, same in zip(pictures, expected, strict=True)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10, help="even: sound is heard for two")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--sessions", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    configure_logging(as_json=False, level="WARNING")
    counts = sorted(options.sessions)
    how = (options.frames, options.size, options.device)
    with tempfile.TemporaryDirectory() as folder:
        characters = write_characters(Path(folder))
        first = {"shipped": characters["shipped"]}
        equal = measure("one character", first, counts, *how)
        equal &= measure("three characters", characters, counts, *how)
    print("every picture is the one drawn alone, to the bit" if equal else "PICTURES DIFFER")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
