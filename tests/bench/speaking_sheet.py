"""A speaking character at a glance: a sheet of the moments that give a mouth away, and a film.

    python -m tests.bench.speaking_sheet [--character mira] [--voice af_heart] [--seconds 20]
        [--out docs/images/speaking.jpg] [--video FILE.mp4]

Each row shows frames of 40 ms in a row: two phones of a kind, or one passage into or out of speech.
Under a picture stand the phone that is said in its middle and the frame's number in the film.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from avatar_worker.audio.mel import SAMPLE_RATE_HZ
from avatar_worker.audio.window import FRAME_RATE_HZ
from avatar_worker.prepare.errors import ModelsMissingError
from avatar_worker.prepare.landmarks68 import landmark_finder
from avatar_worker.recipes.speech.phones import ARPABET
from avatar_worker.recipes.speech.utterance import SILENCE, Mark, Utterance
from avatar_worker.video_file import VideoWriter
from tests.bench.drawn_speech import DrawnSpeech
from tests.bench.spoken import CLOSED, OPEN_VOWELS, Spoken, lay_out, utter

ROOT = Path(__file__).parents[2]
SENTENCES: Final = (
    "Maybe Bob packed a blue umbrella for the mountains.",
    "Five fresh vegetables have a very good flavour.",
    "Who knew so few would choose to move in June?",
    "My father has a calm and happy heart.",
    "She sells seven silver shells, sure, but shoes as well.",
    "Please come back on Monday morning, and bring the maps.",
    "Thank you, that was a wonderful question.",
)
LEAD_S, PAUSE_S = 0.8, 0.5

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "p b m": CLOSED,
    "f v": ("f", "v"),
    "rounded": ("u", "w", "o", "ʊ", "ɔ"),
    "open": OPEN_VOWELS,
    "s sh": ("s", "ʃ", "z", "ʒ"),
}
"""Rows with two phones each, the first ones that are said."""

PER_ROW: Final = 10
MIN_PAUSE_S: Final = 0.2
LETTERS: Final = {v[0]: name for name, v in reversed(ARPABET.items()) if len(v) == 1}
"""What can be written under a picture: the font has no IPA."""

TILE_PX, LABEL_PX, NAME_PX, CUT_PX = 132, 16, 62, 2
DARK: Final = 24
MAX_BYTES: Final = 400_000
QUALITIES: Final = range(92, 40, -4)
GREY, WHITE, MARKED = (150, 150, 150), (235, 235, 235), (120, 220, 255)


class Row(NamedTuple):
    """Frames beside each other.

    Attributes:
        name: what is shown.
        frames: their numbers, in order.
        phones: those that the row is about.
    """

    name: str
    frames: tuple[int, ...]
    phones: tuple[str, ...]


def choose_rows(spoken: Spoken) -> list[Row]:
    """The rows of the sheet; what a track does not have is left out."""
    rows = []
    for name, phones in KINDS.items():
        frames = [i for m in choose_marks(spoken.marks, phones) for i in around(spoken, m, 5)]
        if frames:
            rows.append(Row(name, tuple(frames), phones))
    pauses = [m for m in spoken.marks if m.phone == SILENCE and m.duration_s >= MIN_PAUSE_S]
    inner = [m for m in pauses if m.start_s > 0 and m.end_s < spoken.marks[-1].end_s]
    if inner:
        shortest = min(inner, key=_duration)  # so that both ends are seen
        rows.append(Row("pause", around(spoken, shortest, PER_ROW), (SILENCE,)))
    if pauses and pauses[0].start_s == 0:
        rows.append(Row("start", edge(spoken, pauses[0].end_s), (SILENCE,)))
    if pauses and pauses[-1] == spoken.marks[-1]:
        rows.append(Row("stop", edge(spoken, pauses[-1].start_s), (SILENCE,)))
    return rows


def choose_marks(marks: Sequence[Mark], phones: Sequence[str], n: int = 2) -> list[Mark]:
    """One mark of each phone, in the order of `phones`, of middling length: no showpieces.

    Where there are fewer phones than n, more of the same.
    """
    by_phone = [sorted((m for m in marks if m.phone == p), key=_duration) for p in phones]
    middles = [group[len(group) // 2] for group in by_phone if group][:n]
    if len(middles) < n and middles:
        rest = sorted((m for m in marks if m.phone in phones and m not in middles), key=_duration)
        middles += rest[len(rest) // 2 :][: n - len(middles)]
    return sorted(middles, key=lambda m: m.start_s)


def _duration(mark: Mark) -> float:
    return mark.duration_s


def around(spoken: Spoken, mark: Mark, n: int) -> tuple[int, ...]:
    """n frames with the phone in their middle."""
    inside = spoken.frames(mark)
    return within(spoken, (inside.start + inside.stop - n + 1) // 2, n)


def edge(spoken: Spoken, at_s: float) -> tuple[int, ...]:
    """Frames before and after a moment."""
    return within(spoken, round(at_s * FRAME_RATE_HZ) - PER_ROW // 2, PER_ROW)


def within(spoken: Spoken, first: int, n: int) -> tuple[int, ...]:
    """n frames from `first` on, moved into the track."""
    first = max(0, min(first, spoken.n_frames - n))
    return tuple(range(first, min(first + n, spoken.n_frames)))


def sheet(
    rows: Sequence[Row], spoken: Spoken, pictures: Mapping[int, NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Pictures in rows with what is said below them, RGB."""
    height = TILE_PX + LABEL_PX
    drawn = np.full((height * len(rows), NAME_PX + PER_ROW * TILE_PX, 3), DARK, np.uint8)
    for number, row in enumerate(rows):
        top = number * height
        _write(drawn, row.name, (4, top + height // 2), WHITE)
        for place, frame in enumerate(row.frames):
            left = NAME_PX + place * TILE_PX
            tile = cv2.resize(pictures[frame], (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
            drawn[top : top + TILE_PX, left : left + TILE_PX] = tile
            if place and frame != row.frames[place - 1] + 1:
                drawn[top : top + TILE_PX, left - CUT_PX : left + CUT_PX] = DARK
            phone = spoken.phone_at(frame)
            colour = MARKED if (phone in row.phones) != (row.phones == (SILENCE,)) else GREY
            label = f"{LETTERS.get(phone, phone)} {frame}"
            _write(drawn, label, (left + 4, top + TILE_PX + 12), colour)
    return drawn


def _write(
    picture: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def face_box(picture: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns of a square about the face; the whole picture where none is found."""
    try:
        landmarks = landmark_finder()(picture)
    except ModelsMissingError as error:
        print(f"pictures are not cropped: {error}")
        landmarks = None
    height, width = picture.shape[:2]
    if landmarks is None:
        return slice(0, height), slice(0, width)
    left, right = landmarks[:, 0].min(), landmarks[:, 0].max()
    top, bottom = landmarks[:, 1].min(), landmarks[:, 1].max()
    half = int(0.56 * max(right - left, bottom - top))
    column, row = int(left + right) // 2, int(top + bottom) // 2
    return (
        slice(max(0, row - half), min(height, row + half)),
        slice(max(0, column - half), min(width, column + half)),
    )


def encoded(picture: NDArray[np.uint8]) -> bytes:
    """A JPEG of at most `MAX_BYTES`, as good as fits."""
    content = b""
    for quality in QUALITIES:
        flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
        content = cv2.imencode(".jpg", picture[..., ::-1], flags)[1].tobytes()
        if len(content) <= MAX_BYTES:
            break
    return content


def speak_for(voice: str, seconds: float) -> Spoken:
    """Sentences until the time is full; the track begins and ends in silence."""
    said: list[Utterance] = []
    spoken = lay_out(said, lead_s=LEAD_S, pause_s=PAUSE_S)
    for sentence in SENTENCES:
        said.append(utter(voice, sentence))
        longer = lay_out(said, lead_s=LEAD_S, pause_s=PAUSE_S)
        if longer.n_frames > seconds * FRAME_RATE_HZ:
            break
        spoken = longer
    return spoken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--character", default="mira", help="shipped name, folder or zip")
    parser.add_argument("--voice", default="af_heart", help="joe, or one of Kokoro's")
    parser.add_argument("--seconds", type=float, default=20.0, help="at most so many of speech")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/speaking.jpg")
    parser.add_argument("--video", type=Path, help="also write a film with sound")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    drawn = DrawnSpeech(options.character, threads=options.threads)
    spoken = speak_for(options.voice, options.seconds)
    drawn.hear(spoken)
    rows = choose_rows(spoken)
    shown = {frame for row in rows for frame in row.frames}
    box = face_box(drawn.picture(0))
    kept: dict[int, NDArray[np.uint8]] = {}
    if options.video:
        sound = (spoken.samples, SAMPLE_RATE_HZ)
        with VideoWriter(options.video, drawn.size, sound) as writer:
            for frame in tqdm(range(spoken.n_frames), disable=None, leave=False):
                picture = drawn.picture(frame)
                writer.add(frame, picture)
                if frame in shown:
                    kept[frame] = picture[box]
    else:
        kept = {frame: drawn.picture(frame)[box] for frame in tqdm(sorted(shown), disable=None)}
    content = encoded(sheet(rows, spoken, kept))
    options.out.write_bytes(content)
    print(f"{drawn.name}, {spoken.n_frames / FRAME_RATE_HZ:.1f} s of {options.voice}: "
          f"{len(rows)} rows in {options.out}, {len(content) / 1000:.0f} kB")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
