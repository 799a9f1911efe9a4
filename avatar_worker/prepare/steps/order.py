"""Which steps there are, and what each shows of itself."""

from collections.abc import Callable
from typing import Final, NamedTuple

from avatar_worker.prepare.job import Job, Report
from avatar_worker.prepare.steps.background import write_background
from avatar_worker.prepare.steps.cameras import write_cameras
from avatar_worker.prepare.steps.expression import write_expression
from avatar_worker.prepare.steps.frames import write_frames
from avatar_worker.prepare.steps.landmarks import write_landmarks
from avatar_worker.prepare.steps.layers import write_layers
from avatar_worker.prepare.steps.pose import write_poses
from avatar_worker.prepare.steps.regions import write_regions
from avatar_worker.prepare.steps.sound import write_sound


class Step(NamedTuple):
    """A piece of the work.

    Attributes:
        name: in the journal.
        title: in the progress bar.
        run: does it, or the rest of it.
    """

    name: str
    title: str
    run: Callable[[Job, Report], None]


STEPS: Final = (
    Step("sound", "sound", write_sound),
    Step("frames", "pictures", write_frames),
    Step("landmarks", "face", write_landmarks),
    Step("background", "background", write_background),
    Step("regions", "head, neck, torso", write_regions),
    Step("layers", "layers", write_layers),
    Step("pose", "head pose", write_poses),
    Step("expression", "brows and lids", write_expression),
    Step("cameras", "cameras", write_cameras),
)
"""The cameras come last: a folder without them is not taken for a data folder."""
