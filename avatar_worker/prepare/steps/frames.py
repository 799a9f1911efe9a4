"""`ori_imgs/<id>.jpg`: the square of the video, 25 a second."""

from avatar_worker.prepare.files import FRAME_JPEG_QUALITY, write_picture
from avatar_worker.prepare.job import Job, Report
from avatar_worker.prepare.video import even_frames


def write_frames(job: Job, report: Report) -> None:
    """Write the pictures that are not there yet."""
    (job.folder / "ori_imgs").mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(even_frames(job.video)):
        path = job.original(number)
        if not path.is_file():
            write_picture(path, job.crop.cut(picture), quality=FRAME_JPEG_QUALITY)
        report(number + 1, job.n_frames)
