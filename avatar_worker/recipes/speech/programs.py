"""The diphone and statistical voices of flite and festival, run as programs; their times are exact.

Both print ARPAbet phones with the end of each, in seconds. Licences: CMU (free of restrictions)
and BSD-like; Debian packages flite, festival and the voices named below.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar_worker.recipes.speech.phones import from_arpabet
from avatar_worker.recipes.speech.silence import relabel_silence
from avatar_worker.recipes.speech.utterance import Mark, Utterance, tile

FLITE_VOICES = ("slt", "rms", "awb", "kal16")
FESTIVAL_VOICES = ("kal_diphone", "ked_diphone", "cmu_us_slt_arctic_hts")


def flite(text: str, voice: str = "slt", speed: float = 1.0) -> Utterance:
    """Speak a sentence with flite.

    Raises:
        subprocess.CalledProcessError: flite failed.
        FileNotFoundError: flite is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        stretch = f"duration_stretch={1 / speed:.3f}"
        command = [
            "flite",
            "-voice",
            voice,
            "-psdur",
            "--setf",
            stretch,
            "-t",
            text,
            "-o",
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        ends = [entry.rsplit(":", 1) for entry in done.stdout.split() if ":" in entry]
        return _utterance(path, [(name, float(end)) for name, end in ends])


def festival(text: str, voice: str = "kal_diphone") -> Utterance:
    """Speak a sentence with festival.

    Raises:
        ValueError: festival wrote no sound (the voice is missing, or the text cannot be spoken).
        FileNotFoundError: festival is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        sound, phones = Path(folder) / "speech.wav", Path(folder) / "speech.segs"
        quoted = text.replace("\\", " ").replace('"', " ")
        script = (
            f'(voice_{voice}) (set! u (utt.synth (Utterance Text "{quoted}")))'
            f'(utt.save.segs u "{phones}") (utt.save.wave u "{sound}")'
        )
        command = ["festival", "-b", f"(begin {script})"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not sound.exists() or not phones.exists():
            raise ValueError(f"festival could not speak with {voice}: {done.stderr.strip()}")
        columns = [line.split() for line in phones.read_text().splitlines()]
        return _utterance(sound, [(c[2], float(c[0])) for c in columns if len(c) == 3])


def _utterance(path: Path, ends: list[tuple[str, float]]) -> Utterance:
    samples, sample_rate = _read_wave(path)
    raw: list[Mark] = []
    for phone, end_s in ends:
        start_s = raw[-1].end_s if raw else 0.0
        if end_s > start_s:
            raw.append(Mark(phone, start_s, end_s))
    duration_s = len(samples) / sample_rate
    marks = tile(from_arpabet(raw), duration_s)
    return Utterance(
        samples, sample_rate, tile(relabel_silence(marks, samples, sample_rate), duration_s)
    )


def _read_wave(path: Path) -> tuple[NDArray[np.float32], int]:
    with wave.open(str(path)) as file:
        content = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return content.astype(np.float32) / 32768, file.getframerate()
