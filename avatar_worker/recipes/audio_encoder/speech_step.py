"""The step `speech`: speaks every set of the plan."""

from __future__ import annotations

import time
from pathlib import Path

from avatar_worker.recipes.audio_encoder.corpus import keep_recordings, speak_set
from avatar_worker.recipes.audio_encoder.plan import speech_sets
from avatar_worker.recipes.speech import aligned


def make_speech(work: Path, scale: float = 1.0) -> None:
    """Speak what is missing under `work/speech`; done sets cost a look at their files.

    Args:
        work: The recipe's folder.
        scale: Multiplies the minutes of every set.
    """
    for speech_set in speech_sets(scale):
        began_s, lines, minutes = time.monotonic(), 0, 0.0
        for _, minutes in speak_set(work / "speech" / speech_set.name, speech_set):
            lines += 1
            if lines % 20 == 0:
                took_min = (time.monotonic() - began_s) / 60
                print(f"{speech_set.name}: {minutes:.1f} min, {took_min:.1f} spent", flush=True)
        if lines:
            took_min = (time.monotonic() - began_s) / 60
            print(f"{speech_set.name}: done, {minutes:.1f} min in {took_min:.1f}", flush=True)

    _keep_people(work / "speech", scale)


def _keep_people(folder: Path, scale: float) -> None:
    """People reading, for tests, where Debian's packages with them are installed."""
    if aligned.LIBRIVOX_FOLDER.is_dir():
        keep_recordings(folder / "test-librivox", "librivox", aligned.librivox(), 0.5 * scale)
    if aligned.ALLISON_FOLDER.is_dir():
        keep_recordings(folder / "test-allison", "allison", aligned.allison(), 4.0 * scale)
