"""`aud.wav`: 16 kHz, mono, 16 bit, as long as the pictures."""

import io
import wave

import numpy as np

from avatar_worker.prepare.job import Job, Report
from avatar_worker.prepare.video import FPS, SOUND_RATE_HZ, read_speech
from avatar_worker.whole_files import write_whole


def write_sound(job: Job, report: Report) -> None:
    """Write the voice; silence fills what the pictures are longer."""
    speech = read_speech(job.video)
    samples = np.zeros(job.n_frames * SOUND_RATE_HZ // FPS, np.float32)
    samples[: len(speech)] = speech[: len(samples)]
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE_HZ)
        file.writeframes(np.rint(samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    write_whole(job.folder / "aud.wav", content.getvalue())
    report(1, 1)
