"""`transforms_train.json` and `transforms_val.json`: what makes the folder a data folder."""

from typing import Any

from avatar_worker.prepare.crop import SIZE_PX
from avatar_worker.prepare.files import write_json
from avatar_worker.prepare.job import Job, Report, read_array
from avatar_worker.prepare.steps.pose import read_focal

TRAIN_PARTS, PARTS = 10, 11
"""The first ten elevenths are trained on, the rest is held out, as in the original."""


def write_cameras(job: Job, report: Report) -> None:
    """Write both splits; frames without a face are in neither."""
    numbers = [int(number) for number in job.with_face()]
    matrices = read_array(job.by_products / "poses.npy")
    head: dict[str, Any] = {
        "focal_len": read_focal(job),
        "cx": SIZE_PX / 2,
        "cy": SIZE_PX / 2,
        "h": SIZE_PX,
        "w": SIZE_PX,
    }
    frames = [
        {"img_id": number, "aud_id": number, "transform_matrix": matrix.tolist()}
        for number, matrix in zip(numbers, matrices, strict=True)
    ]
    n_train = len(frames) * TRAIN_PARTS // PARTS
    write_json(job.folder / "transforms_val.json", {**head, "frames": frames[n_train:]})
    write_json(job.folder / "transforms_train.json", {**head, "frames": frames[:n_train]})
    report(1, 1)
