"""Pace, length and size, as the file states them."""

from typing import Final

from avatar_worker.prepare.checks.finding import Finding
from avatar_worker.prepare.video import FPS, Video, longest_gap

MIN_FPS: Final = 20.0
"""Below it one picture has to serve for two steps of 40 ms so often that lips visibly lag."""

FPS_TOLERANCE: Final = 0.01
"""Relative; 24.9 is 25 with a slow clock."""

MAX_STANDSTILL: Final = 2.5
"""Pictures' time that one picture may stand before the pace counts as uneven."""

MAX_GAP_S: Final = 0.5
"""A face that stands still this long while the voice goes on teaches wrong lips."""

MIN_LENGTH_S: Final = 20.0
"""Below it most sounds of a language are not heard in all their neighbourhoods."""

GOOD_LENGTH_S: Final = 60.0
LONG_LENGTH_S: Final = 600.0
"""A minute is enough to be worth training, ten are more than memory and patience bear."""

MIN_SIDE_PX: Final = 256
GOOD_SIDE_PX: Final = 480
"""Of the shorter side. The folder's pictures have 512; smaller ones are stretched to it."""


def check_file(video: Video) -> list[Finding]:
    """What the file says about itself."""
    return [*_pace(video), *_length(video), *_size(video)]


def _pace(video: Video) -> list[Finding]:
    fps = video.fps
    if fps < MIN_FPS:
        return [
            Finding("frame-rate", True, f"{fps:.3g} pictures a second",
                    f"at least {MIN_FPS:.0f} are needed, {FPS} are best: set the camera to {FPS}")
        ]  # fmt: skip
    findings = []
    if abs(fps / FPS - 1) > FPS_TOLERANCE:
        findings.append(
            Finding("frame-rate", False, f"{fps:.4g} pictures a second are brought to {FPS}",
                    f"motion is smoother when the camera records {FPS} (or 50)")
        )  # fmt: skip
    stands_s, since_s = longest_gap(video.times_s)
    if stands_s > MAX_GAP_S:
        findings.append(
            Finding("uneven-pace", True, f"one picture stands for {stands_s:.1f} s at "
                    f"{clock(since_s)}", f"no picture may stand longer than {MAX_GAP_S} s: cut "
                    "the video there, or record again with the frame rate locked")
        )  # fmt: skip
    elif stands_s > MAX_STANDSTILL / fps:
        findings.append(
            Finding("uneven-pace", False, f"the pace varies (one picture stands "
                    f"{1000 * stands_s:.0f} ms at {clock(since_s)}) and is evened out",
                    "lock the frame rate: phones slow down in poor light")
        )  # fmt: skip
    return findings


def _length(video: Video) -> list[Finding]:
    length_s = video.duration_s
    if length_s < MIN_LENGTH_S:
        return [
            Finding("length", True, f"{length_s:.1f} s",
                    f"at least {MIN_LENGTH_S:.0f} s are needed, two to five minutes are best")
        ]  # fmt: skip
    if length_s < GOOD_LENGTH_S:
        return [
            Finding("length", False, f"{length_s:.0f} s",
                    "lips get surer with more speech: two to five minutes are best")
        ]  # fmt: skip
    if length_s > LONG_LENGTH_S:
        return [
            Finding("length", False, f"{length_s / 60:.0f} minutes",
                    "two to five are enough; training keeps every picture in memory")
        ]  # fmt: skip
    return []


def _size(video: Video) -> list[Finding]:
    side = min(video.width, video.height)
    found = f"{video.width} × {video.height} px"
    if side < MIN_SIDE_PX:
        return [Finding("size", True, found, f"the shorter side needs {MIN_SIDE_PX} px or more")]
    if side < GOOD_SIDE_PX:
        return [Finding("size", False, found, "512 px or more on the shorter side look sharper")]
    return []


def clock(seconds: float) -> str:
    """0:07 for seven seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
