"""One face, wholly in the picture, large, well lit and sharp."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from avatar_worker.prepare.checks.file import clock
from avatar_worker.prepare.checks.finding import Finding
from avatar_worker.prepare.checks.samples import Sample
from avatar_worker.prepare.video import Video

MAX_WITHOUT_FACE: Final = 0.05
"""Share of the pictures; single ones are left out of the folder."""

MAX_WITH_OTHERS: Final = 0.1
"""A face that comes up once may be a mistake of the detector."""

MAX_CUT_OFF: Final = 0.05
HEAD_ROOM: Final = 0.35
"""Of the face's height (hairline to chin): what hair and crown need above it."""

MIN_FACE_PX: Final = 96
GOOD_FACE_PX: Final = 180
"""Hairline to chin in the video. In the folder a face has about 230 px."""

MIN_LIGHT, GOOD_LIGHT = 35.0, 70.0
"""Mean grey of the face. Below 35 the sensor's noise is as large as the face's own shading."""

MAX_BURNT, GOOD_BURNT = 0.15, 0.03
"""Share of the face that is white: there is no skin to learn there."""

MIN_SHARPNESS, GOOD_SHARPNESS = 0.002, 0.005
"""Measured: a sharp face 0.02 … 0.03, blurred by 2 px at 240 px height 0.003, by 3 px 0.0016."""

MAX_TURN: Final = 0.35
"""Of the nose tip from the middle between the cheeks, as a share of their distance: about 40°."""

MAX_BACKGROUND_CHANGE: Final = 12.0
"""Grey levels by which the upper corners may differ from their median."""

CHEEKS, NOSE_TIP = (234, 454), 1


def check_face(video: Video, samples: Sequence[Sample]) -> list[Finding]:
    """What the pictures show, the gravest first; a video without a face needs no other words."""
    with_face = [sample for sample in samples if sample.points is not None]
    if not with_face:
        return [
            Finding("no-face", True, f"no face in any of {len(samples)} pictures looked at",
                    "one person, facing the camera, is needed")
        ]  # fmt: skip
    return [
        *_absent(samples), *_others(samples), *_border(video, with_face), *_small(with_face),
        *_light(with_face), *_blur(with_face), *_turned(with_face), *_background(samples),
    ]  # fmt: skip


def _absent(samples: Sequence[Sample]) -> list[Finding]:
    absent = [sample for sample in samples if sample.points is None]
    if not absent:
        return []
    share = len(absent) / len(samples)
    return [
        Finding("faces", share > MAX_WITHOUT_FACE, f"no face in {share:.0%} of the pictures, for "
                f"example at {clock(absent[0].time_s)}",
                "the person must face the camera all the time; cut the rest away")
    ]  # fmt: skip


def _others(samples: Sequence[Sample]) -> list[Finding]:
    others = [sample for sample in samples if sample.n_faces > 1]
    if not others:
        return []
    share = len(others) / len(samples)
    most = max(sample.n_faces for sample in others)
    return [
        Finding("faces", share > MAX_WITH_OTHERS, f"{most} faces in {share:.0%} of the pictures, "
                f"for example at {clock(others[0].time_s)}",
                "exactly one person may be seen; pictures on the wall count too")
    ]  # fmt: skip


def _border(video: Video, samples: Sequence[Sample]) -> list[Finding]:
    limit = np.array([video.width, video.height], np.float64)
    cut, low = [], []
    for sample in samples:
        assert sample.points is not None
        points = sample.points[:, :2]
        top, bottom = points[:, 1].min(), points[:, 1].max()
        if (points < 0).any() or (points > limit).any():
            cut.append(sample)
        elif top < HEAD_ROOM * (bottom - top):
            low.append(sample)
    share = len(cut) / len(samples)
    if share > MAX_CUT_OFF:
        return [
            Finding("border", True, f"the face reaches beyond the picture in {share:.0%} of the "
                    f"pictures, for example at {clock(cut[0].time_s)}",
                    "the whole head and the shoulders must stay inside: step back")
        ]  # fmt: skip
    if len(low) > MAX_CUT_OFF * len(samples):
        return [
            Finding("head-room", False, "the top of the head is cut off or touches the border",
                    "leave a hand's breadth above the hair")
        ]  # fmt: skip
    return []


def _small(samples: Sequence[Sample]) -> list[Finding]:
    heights = [np.ptp(s.points[:, 1]) for s in samples if s.points is not None]
    height = float(np.median(heights))
    if height >= GOOD_FACE_PX:
        return []
    return [
        Finding("small", height < MIN_FACE_PX, f"the face is {height:.0f} px high",
                f"{GOOD_FACE_PX} px or more are wanted ({MIN_FACE_PX} at least): come nearer, or "
                "record at a higher resolution")
    ]  # fmt: skip


def _light(samples: Sequence[Sample]) -> list[Finding]:
    findings = []
    light = float(np.median([sample.light for sample in samples]))
    if light < GOOD_LIGHT:
        findings.append(
            Finding("dark", light < MIN_LIGHT, f"the face is dark (mean grey {light:.0f} of 255)",
                    f"{GOOD_LIGHT:.0f} or more are wanted: soft light from the front")
        )  # fmt: skip
    burnt = float(np.median([sample.burnt for sample in samples]))
    if burnt > GOOD_BURNT:
        findings.append(
            Finding("bright", burnt > MAX_BURNT, f"{burnt:.0%} of the face is overexposed",
                    "lower the exposure until no skin is white")
        )  # fmt: skip
    return findings


def _blur(samples: Sequence[Sample]) -> list[Finding]:
    sharpness = float(np.median([sample.sharpness for sample in samples]))
    if sharpness >= GOOD_SHARPNESS:
        return []
    return [
        Finding("blur", sharpness < MIN_SHARPNESS, f"the face is blurred (sharpness "
                f"{sharpness:.4f})", f"{GOOD_SHARPNESS} or more is wanted: lock the focus on the "
                "eyes, clean the lens, add light so that the shutter is shorter")
    ]  # fmt: skip


def _turned(samples: Sequence[Sample]) -> list[Finding]:
    turned = []
    for sample in samples:
        assert sample.points is not None
        right, left = sample.points[CHEEKS[0], :2], sample.points[CHEEKS[1], :2]
        across = left - right
        place = float(
            (sample.points[NOSE_TIP, :2] - (left + right) / 2) @ across / (across @ across)
        )
        if abs(place) > MAX_TURN:
            turned.append(sample)
    if not turned:
        return []
    return [
        Finding("turned", False, f"the head is turned far aside in {len(turned) / len(samples):.0%}"
                f" of the pictures, for example at {clock(turned[0].time_s)}",
                "what was seen a few times only is drawn badly; stay within about 30°")
    ]  # fmt: skip


def _background(samples: Sequence[Sample]) -> list[Finding]:
    """Whether the upper corners stay the same: a moving camera changes them, a person does not."""
    stack = np.stack([sample.small for sample in samples])
    rows, columns = max(1, stack.shape[1] // 4), max(1, stack.shape[2] // 6)
    corners = np.concatenate(
        [stack[:, :rows, :columns].reshape(len(stack), -1),
         stack[:, :rows, -columns:].reshape(len(stack), -1)], axis=1,
    )  # fmt: skip
    change = np.abs(corners - np.median(corners, axis=0)).mean(axis=1)
    if change.max() <= MAX_BACKGROUND_CHANGE:
        return []
    worst = samples[int(change.argmax())]
    return [
        Finding("background", False, "the background changes, for example at "
                f"{clock(worst.time_s)}", "camera, light and everything behind the person must "
                "stay as they are: use a tripod, lock the exposure, cut other scenes away")
    ]  # fmt: skip
