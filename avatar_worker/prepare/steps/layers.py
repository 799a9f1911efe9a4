"""`gt_imgs/<id>.jpg` and `torso_imgs/<id>.png`."""

import numpy as np

from avatar_worker.prepare.files import write_picture
from avatar_worker.prepare.job import Job, Report, read_picture
from avatar_worker.prepare.layers import before_still, torso_layer
from avatar_worker.prepare.regions.labels import HEAD, NECK, TORSO
from avatar_worker.prepare.regions.pictures import COLOURS


def write_layers(job: Job, report: Report) -> None:
    """Write the pictures that are not there yet."""
    for name in ("gt_imgs", "torso_imgs"):
        (job.folder / name).mkdir(parents=True, exist_ok=True)
    behind = read_picture(job.folder / "bc.jpg")
    numbers = job.with_face()
    for done, number in enumerate(numbers):
        target = job.folder / f"gt_imgs/{number}.jpg"
        last = job.folder / f"torso_imgs/{number}.png"
        if not last.is_file():
            parsing = read_picture(job.folder / f"parsing/{number}.png")
            head, neck, torso = (
                (parsing == np.array(COLOURS[which], np.uint8)).all(axis=2)
                for which in (HEAD, NECK, TORSO)
            )
            frame = before_still(job.read_original(int(number)), behind, ~(head | neck | torso))
            write_picture(target, frame)
            write_picture(last, torso_layer(frame, head, neck, torso))
        report(done + 1, len(numbers))
