"""Whether there is speech that lips can be learned from."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.checks.finding import Finding
from avatar_worker.prepare.video import SOUND_RATE_HZ, Video

BLOCK_S: Final = 0.1
SILENT_DBFS: Final = -50.0
"""A block below it holds no speech: quiet rooms lie at −60, speech at −30 … −15."""

MIN_SPEECH_SHARE: Final = 0.02
GOOD_SPEECH_SHARE: Final = 0.4
QUIET_DBFS: Final = -35.0

FULL_SCALE: Final = 0.985
MAX_CLIPPED_SHARE: Final = 0.02
GOOD_CLIPPED_SHARE: Final = 0.0005
"""Of all samples. Clean speech touches full scale never; at 2 % vowels are square waves."""

MAX_SHORTFALL_S: Final = 1.0
"""By which the sound may end before the pictures do."""


def check_sound(video: Video, samples: NDArray[np.float32]) -> list[Finding]:
    """What is wrong with the voice; samples at 16 kHz."""
    if not video.has_sound or not len(samples):
        return [
            Finding("sound", True, "no sound track",
                    "the voice is what drives the lips: record picture and sound together")
        ]  # fmt: skip
    levels = block_levels(samples)
    share = float((levels > SILENT_DBFS).mean())
    if share < MIN_SPEECH_SHARE:
        return [
            Finding("sound", True, f"silence ({share:.0%} of the time is above {SILENT_DBFS:.0f} "
                    "dBFS)", "speech is needed: check which microphone was recorded")
        ]  # fmt: skip
    return [*_level(levels, share), *_clipping(samples), *_shortfall(video, samples)]


def block_levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Loudness of each tenth of a second in dB below full scale."""
    size = round(BLOCK_S * SOUND_RATE_HZ)
    blocks = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    if not len(blocks):
        blocks = samples[None].astype(np.float64)
    return np.asarray(10 * np.log10((blocks**2).mean(axis=1) + 1e-12))


def _level(levels: NDArray[np.float64], share: float) -> list[Finding]:
    findings = []
    loud = float(np.percentile(levels, 90))
    if loud < QUIET_DBFS:
        findings.append(
            Finding("sound", False, f"the voice is quiet ({loud:.0f} dBFS)",
                    "bring the microphone nearer: −20 dBFS are usual")
        )  # fmt: skip
    if share < GOOD_SPEECH_SHARE:
        findings.append(
            Finding("sound", False, f"{share:.0%} of the time is speech",
                    "silence teaches lips nothing; cut long pauses")
        )  # fmt: skip
    return findings


def _clipping(samples: NDArray[np.float32]) -> list[Finding]:
    clipped = float((np.abs(samples) >= FULL_SCALE).mean())
    if clipped <= GOOD_CLIPPED_SHARE:
        return []
    return [
        Finding("sound", clipped > MAX_CLIPPED_SHARE, f"{clipped:.1%} of the samples are clipped",
                "turn the recording level down until the loudest word stays below full scale")
    ]  # fmt: skip


def _shortfall(video: Video, samples: NDArray[np.float32]) -> list[Finding]:
    missing_s = video.duration_s - len(samples) / SOUND_RATE_HZ
    if missing_s <= MAX_SHORTFALL_S:
        return []
    return [
        Finding("sound", False, f"the sound ends {missing_s:.1f} s before the pictures",
                "the rest counts as silence; cut the video to the sound")
    ]  # fmt: skip
