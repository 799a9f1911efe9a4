"""`parsing/<id>.png` and `parsing/<id>_face.png`."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.errors import FootageError
from avatar_worker.prepare.files import write_picture
from avatar_worker.prepare.job import Job, Report, read_array, read_picture
from avatar_worker.prepare.models.person import PersonMask
from avatar_worker.prepare.pose.first import evenly
from avatar_worker.prepare.regions.colours import Colours, learn, seeds_of, to_lab
from avatar_worker.prepare.regions.labels import label
from avatar_worker.prepare.regions.person import Background, sharpen
from avatar_worker.prepare.regions.pictures import face_picture, parsing_picture
from avatar_worker.prepare.regions.place import place_of

COLOUR_FRAMES: Final = 30


def write_regions(job: Job, report: Report) -> None:
    """Write the pictures that are not there yet."""
    (job.folder / "parsing").mkdir(parents=True, exist_ok=True)
    meshes = job.meshes()
    numbers = [int(number) for number in job.with_face()]
    person, behind = PersonMask(), read_background(job)
    colours: Colours | None = None
    for done, number in enumerate(numbers):
        path, last = (job.folder / f"parsing/{number}{end}.png" for end in ("", "_face"))
        if not last.is_file():
            if colours is None:
                colours = learn_colours(job, numbers, meshes, person, behind)
            picture = job.read_original(number)
            place = place_of(meshes[number], picture.shape[:2])
            labels = label(picture, sharpen(person(picture), picture, behind), place, colours)
            write_picture(path, parsing_picture(labels))
            write_picture(last, face_picture(labels))
        report(done + 1, len(numbers))


def read_background(job: Job) -> Background:
    """What the step before found."""
    return Background(
        read_picture(job.folder / "bc.jpg"),
        read_array(job.by_products / "known.npy") > 0,
        read_array(job.by_products / "noise.npy").astype(np.float32),
    )


def learn_colours(
    job: Job,
    numbers: list[int],
    meshes: NDArray[np.float64],
    person: PersonMask,
    behind: Background,
) -> Colours:
    """The person's colours, from some frames.

    Raises:
        FootageError: no skin is seen.
    """
    seeds = []
    for index in evenly(len(numbers), COLOUR_FRAMES):
        number = numbers[index]
        picture = job.read_original(number)
        mask = sharpen(person(picture), picture, behind)
        place = place_of(meshes[number], mask.shape)
        seeds.append(seeds_of(to_lab(picture), mask, place))
    colours = learn(seeds)
    if colours is None:
        raise FootageError("no skin can be made out in the face; is it covered?")
    return colours
