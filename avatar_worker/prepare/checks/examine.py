"""All checks of a video."""

from collections.abc import Callable, Sequence

from avatar_worker.prepare.checks.face import check_face
from avatar_worker.prepare.checks.file import check_file
from avatar_worker.prepare.checks.finding import Finding
from avatar_worker.prepare.checks.samples import Sample, take_samples
from avatar_worker.prepare.checks.sound import check_sound
from avatar_worker.prepare.video import Video, read_speech


def examine(
    video: Video, report: Callable[[int, int], None]
) -> tuple[list[Finding], Sequence[Sample]]:
    """What is to be said about a video, refusals first, and the pictures that were looked at."""
    findings = check_file(video)
    findings += check_sound(video, read_speech(video))
    samples = take_samples(video, report)
    findings += check_face(video, samples)
    return sorted(findings, key=lambda finding: not finding.is_refusal), samples
