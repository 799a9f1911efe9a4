"""`bs.npy`: brows, lids and jaw of every frame. [n, 52]"""

import numpy as np

from avatar_worker.prepare.expression import coefficients
from avatar_worker.prepare.files import write_array
from avatar_worker.prepare.job import Job, Report, read_array
from avatar_worker.prepare.mesh_parts import STEADY


def write_expression(job: Job, report: Report) -> None:
    """Measure every frame; rows of frames without a face repeat their neighbours'."""
    brows = read_array(job.by_products / "brows.npy")
    rows = coefficients(job.meshes(), brows, np.array(STEADY))
    write_array(job.folder / "bs.npy", rows.astype(np.float32))
    report(1, 1)
