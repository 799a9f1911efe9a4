"""The plan: what is drawn in each frame, written down once before anything is drawn.

First the pose loop, if there is one (the mouth rests; played forth and back while a character
listens and pasted under its speech), then the speaking frames. One frame is 40 ms of one
continuous sound track, the loop included (there it is silent), so audio index, frame index and
picture number are all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatar_worker.recipes.people import motion
from avatar_worker.recipes.people.camera import FPS, Pose, head_matrix
from avatar_worker.recipes.people.mouth import mouth_units, speech_activity
from avatar_worker.recipes.people.person import Person, Schedule
from avatar_worker.recipes.people.script import SpokenTrack
from avatar_worker.recipes.people.units import ALL_NAMES, FRIENDLY

VERSION = 3
SAMPLES = 9
FRIENDLY_WHILE_SPEAKING = 0.4
IDLE_BLINKS = (motion.Blink(1.43), motion.Blink(4.62), motion.Blink(6.71))
BROW_COLUMNS = [ALL_NAMES.index(name) for name in ALL_NAMES[:5]]
LID_COLUMNS = [ALL_NAMES.index("eyeBlinkLeft"), ALL_NAMES.index("eyeBlinkRight")]


@dataclass(frozen=True)
class Frame:
    """One picture to draw.

    `audio_index` counts 40 ms steps of the sound track. `seed` is that of the path tracer's noise:
    the loop, which is shown as drawn, keeps one so that it does not boil; the speaking frames take
    one each, so that a trainer averages the noise away.
    """

    index: int
    kind: str
    utterance: int | None
    audio_index: int
    pose: Pose
    units: dict[str, float]
    samples: int = SAMPLES
    seed: int = 0

    @property
    def is_idle(self) -> bool:
        """Belongs to the pose loop."""
        return self.kind == "idle"


@dataclass(frozen=True)
class Plan:
    """All frames by index, the order to draw them in, what is held out, and who is drawn."""

    frames: tuple[Frame, ...]
    order: tuple[int, ...]
    validation: tuple[int, ...]
    who: str

    def write(self, path: Path) -> None:
        """Writes JSON; each frame also carries its head matrix, for readers without this code."""
        body: dict[str, Any] = {
            "version": VERSION,
            "who": self.who,
            "fps": FPS,
            "order": self.order,
            "validation": self.validation,
            "frames": [
                asdict(frame) | {"head_matrix": head_matrix(frame.pose).tolist()}
                for frame in self.frames
            ],
        }
        path.write_text(json.dumps(body, indent=None) + "\n")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Reads what `write` wrote.

        Raises:
            FileNotFoundError: there is no plan yet.
            ValueError: the plan is of another version.
        """
        body = json.loads(path.read_text())
        if body["version"] != VERSION:
            raise ValueError(f"{path} is a plan of version {body['version']}, not {VERSION}")
        frames = []
        for entry in body["frames"]:
            del entry["head_matrix"]
            entry["pose"] = Pose(**entry["pose"] | {"shift_dm": tuple(entry["pose"]["shift_dm"])})
            frames.append(Frame(**entry))
        return cls(tuple(frames), tuple(body["order"]), tuple(body["validation"]), body["who"])


def make_plan(
    track: SpokenTrack, person: Person, schedule: Schedule | None = None, seed: int = 20
) -> Plan:
    """The same plan for the same track, person and seed, always; its last lines are held out.

    Args:
        track: What is said.
        person: Who says it.
        schedule: Instead of the person's own.
        seed: Of all motion that does not follow from what is said.
    """
    schedule = schedule or person.schedule
    first = schedule.idle_frames
    idle = list(_idle_frames(first, np.random.default_rng([seed, 1]))) if first else []
    speaking = list(_speaking_frames(track, schedule, np.random.default_rng([seed, 2])))
    numbers = [f.index for f in idle], [f.index for f in speaking]
    order = [*numbers[0], *numbers[1]] if schedule.in_order else _weave(*numbers)
    end = first + track.frames
    lines = schedule.held_out_lines
    held_out = range(first + track.starts[-lines], end) if lines else range(0)
    return Plan(tuple(idle + speaking), tuple(order), tuple(held_out), person.name)


def _middle_of_frames(count: int) -> motion.Floats:
    """[count] a frame shows the state in the middle of its 40 ms."""
    return (np.arange(count) + 0.5) / FPS


def _idle_frames(count: int, rng: np.random.Generator) -> Iterator[Frame]:
    times = _middle_of_frames(count)
    clock = motion.rest_at_ends(times, count / FPS)
    poses = motion.sway(clock, rng, motion.IDLE_RANGE, fast_hz=0.40)
    weights = np.zeros((count, len(ALL_NAMES)))
    for name, weight in FRIENDLY.items():
        weights[:, ALL_NAMES.index(name)] = weight
    weights[:, BROW_COLUMNS] += motion.brows(clock, rng, motion.IDLE_BROWS)
    weights[:, LID_COLUMNS] = motion.lids(times, IDLE_BLINKS)
    for at in range(count):
        yield Frame(at, "idle", None, at, poses[at], _named(weights[at]))


def _speaking_frames(
    track: SpokenTrack, schedule: Schedule, rng: np.random.Generator
) -> Iterator[Frame]:
    times = _middle_of_frames(track.frames)
    poses = motion.sway(times, rng, schedule.range, fast_hz=schedule.sway_hz)
    weights = mouth_units(track.marks, times)
    smile = 1 - (1 - FRIENDLY_WHILE_SPEAKING) * speech_activity(track.marks, times)
    for name, weight in FRIENDLY.items():
        # The brow's share of the friendly face stays: brows must not tell when she speaks.
        weights[:, ALL_NAMES.index(name)] += weight if name == "browInnerUp" else weight * smile
    weights[:, BROW_COLUMNS] += motion.brows(times, rng, motion.SPEAKING_BROWS)
    blinks = motion.spread_blinks(track.frames / FPS, rng, *schedule.blinks_s)
    weights[:, LID_COLUMNS] = motion.lids(times, blinks)
    for at in range(track.frames):
        index = schedule.idle_frames + at
        utterance = track.utterance_of_frame(at)
        yield Frame(index, "speech", utterance, index, poses[at], _named(weights[at]), seed=index)


def _named(row: motion.Floats) -> dict[str, float]:
    """The weights that are not zero, rounded to what a picture can show."""
    return {
        name: round(float(weight), 5)
        for name, weight in zip(ALL_NAMES, np.clip(row, 0, 1), strict=True)
        if weight > 5e-6
    }


def _weave(idle: Sequence[int], speaking: Sequence[int]) -> Iterator[int]:
    """An order that is useful whenever it is stopped.

    The loop grows from its start, one frame for every few speaking ones; those come in passes
    over all utterances, every fourth frame first, so that few frames already show many mouths.
    """
    passes = [at for offset in (0, 2, 1, 3) for at in speaking[offset::4]]
    per_idle = max(1, -(-len(passes) // max(1, len(idle))))
    for at in range(max(len(idle), -(-len(passes) // per_idle))):
        yield from idle[at : at + 1]
        yield from passes[at * per_idle : (at + 1) * per_idle]
