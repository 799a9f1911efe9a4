"""What a finer grid spares and what it costs, drawn with and without it in turn."""

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from avatar_worker.audio.features import AudioModel, whole_file
from avatar_worker.audio.mel import SAMPLE_RATE_HZ
from avatar_worker.character import Character
from avatar_worker.recipes.speech import formant
from avatar_worker.recipes.speech.sentences import CLOSURE_RICH, FRENCH
from avatar_worker.render.finer_grid import FinerGrid, choose_moments, find_empty
from avatar_worker.render.kernels import Camera, HeadKernel, PackedHead
from avatar_worker.render.painters import camera_of
from avatar_worker.render.renderer import PORTRAIT_CAP
from avatar_worker.render.scene import Scene, track_of

VOICES = ("en-us", "en+f3", "en-gb-scotland+m2")
OTHER_VOICE = "en-gb-x-rp+f5"
LOUD, SOFT = 0.5, 0.15


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture to draw.

    Attributes:
        camera: where from.
        enc_a: what is said.
        eye: brows and blinks.
        paint: further arguments of `PackedHead.paint`.
    """

    camera: Camera
    enc_a: NDArray[np.float32]
    eye: NDArray[np.float32]
    paint: dict[str, Any]


def drawing(
    scene: Scene, enc_a: NDArray[np.float32], eye: NDArray[np.float32], *, portrait: bool
) -> Drawing:
    """A picture of a scene: a portrait under the live cap, or the whole head."""
    paint: dict[str, Any] = {"background": scene.background_levels}
    if portrait:
        paint |= {"original": scene.original, "mask": scene.mask, "cap": PORTRAIT_CAP}
    return Drawing(camera_of(scene), np.ascontiguousarray(enc_a), np.ascontiguousarray(eye), paint)


def report(
    name: str, plain: PackedHead, finer: PackedHead, drawings: Sequence[Drawing], repeats: int = 3
) -> None:
    """Print one line: what is evaluated, user time on one thread, and how far pictures differ."""
    took = [[0.0] * len(drawings) for _ in range(2)]
    evaluated = [0, 0]
    errors, worst = [], 0
    for number, wanted in enumerate(drawings):
        pictures = []
        for which, packed in enumerate((plain, finer)):
            out = np.empty_like(wanted.paint["background"])
            times = []
            for _ in range(repeats):
                began_s = _user_s()
                counts = packed.paint(
                    wanted.camera, wanted.enc_a, wanted.eye, out=out, threads=1, **wanted.paint
                )
                times.append(_user_s() - began_s)
            took[which][number] = min(times)
            evaluated[which] += counts.evaluated
            pictures.append(out.astype(int))
        difference = np.abs(pictures[0] - pictures[1])
        errors.append(float((difference**2).mean()))
        worst = max(worst, int(difference.max()))
    print(
        f"{name}: {len(drawings)} pictures, evaluated {evaluated[1] / evaluated[0]:.3f}, "
        f"user time {sum(took[1]) / sum(took[0]):.3f} of what it is without; "
        f"{_db(float(np.mean(errors)))} dB, worst picture {_db(max(errors))}, "
        f"worst value {worst} of 255"
    )


def spoken_grid(character: Character, kernel: HeadKernel) -> FinerGrid:
    """A character's own grid, or one from its eyes and from what formant voices say.

    Raises:
        OSError: the library of espeak-ng is not installed.
    """
    assert character.head is not None
    assert character.scenes is not None
    assert character.audio is not None
    if character.finer is not None:
        return character.finer
    said = [hear(character.audio, CLOSURE_RICH, voice, LOUD) for voice in VOICES]
    vectors = np.concatenate((character.audio.silence()[None], *said))
    moments = choose_moments(vectors, track_of(character.scenes).eyes)
    return find_empty(character.head, kernel.pack(character.head), moments)


def spoken_drawings(character: Character, n: int) -> list[Drawing]:
    """Pictures of sentences and of a voice that `spoken_grid` does not know."""
    assert character.scenes is not None
    assert character.audio is not None
    heard = hear(character.audio, FRENCH[:5], OTHER_VOICE, SOFT)
    random, drawings = np.random.default_rng(0), []
    for _ in range(n):
        scene = character.scenes.scene(int(random.integers(character.scenes.n_scenes)))
        enc_a = heard[random.integers(len(heard))]
        drawings.append(drawing(scene, enc_a, scene.eye, portrait=character.portrait))
    return drawings


def hear(
    audio: AudioModel, sentences: Sequence[str], voice: str, level: float
) -> NDArray[np.float32]:
    """Audio vectors of sentences, spoken one after the other. [n, 32]"""
    spoken = [formant.synthesise(sentence, voice) for sentence in sentences]
    sound = np.concatenate([
        soxr.resample(part.samples, part.sample_rate, SAMPLE_RATE_HZ) for part in spoken
    ])  # fmt: skip
    loudest = max(float(np.abs(sound).max()), 1e-6)
    return whole_file(audio, np.asarray(sound * (level / loudest), np.float32))


def _db(squared_error: float) -> str:
    return f"{10 * np.log10(255.0**2 / squared_error):.1f}" if squared_error else "∞"


def _user_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime
