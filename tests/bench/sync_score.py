"""Whether a character's mouth moves with a sound, and if not, by how much it is early or late.

    python -m tests.bench.sync_score [--character DIR|FILE.zip] [--audio FILE]

Draws every picture of the sound at one pose with still eyes, finds the mouth as the part of the
picture that the sound moves, and prints the correlation at every shift. Goal: best at 0 ms.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.sequence import SoundFeatures, vectors
from avatar_worker.audio.sound import read_sound
from avatar_worker.character import load_bundle
from avatar_worker.render.renderer import FrameRequest
from avatar_worker.slots import SHIPPED_CHARACTER
from avatar_worker.train.sync_score import lip_opening, mouth_activity, sync_score

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "tests/data/synctalk-mini/audio/cross.wav"
MOVED = 0.4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--character", type=Path, default=SHIPPED_CHARACTER)
    parser.add_argument("--audio", type=Path, default=AUDIO)
    parser.add_argument("--frames", type=int, default=500, help="at most so many pictures")
    parser.add_argument("--size", type=int, default=256, help="width and height drawn")
    options = parser.parse_args()
    character = load_bundle(options.character, width=options.size, height=options.size)
    assert character.audio is not None
    renderer = character.renderer(device="cpu")
    samples = read_sound(options.audio).mono()
    encoder = character.audio.encoder
    assert isinstance(encoder, AveEncoder), "characters that listen to HuBERT are not measured here"
    features = SoundFeatures(encoder, samples)
    spoken = list(vectors(character.audio.networks, features, character.audio.mode))
    wanted = tqdm(spoken[: options.frames], disable=None)
    pictures = np.stack([renderer.render(FrameRequest(vector, 0)) for vector in wanted])
    activity = mouth_activity(samples)
    moved = pictures.astype(np.float32).mean(axis=3).std(axis=0)
    row, column = np.nonzero(moved > MOVED * moved.max())
    box = pictures[:, row.min() : row.max() + 1, column.min() : column.max() + 1]
    print(f"{options.audio.name}, {len(pictures)} pictures, mouth of {box.shape[2]} × "
          f"{box.shape[1]} px")  # fmt: skip
    score = sync_score(lip_opening(box, activity), activity)
    if score is None:
        print("too short, or nothing moves")
        return 1
    for shift_ms, correlation in score.correlations.items():
        print(f"{shift_ms:+5d} ms  {correlation:+.3f}  {'#' * max(0, round(40 * correlation))}")
    print(score)
    return 0


if __name__ == "__main__":
    sys.exit(main())
