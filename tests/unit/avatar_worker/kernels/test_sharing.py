"""One packed head, many threads: nobody sees anybody else's frame."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from avatar_worker.render.kernels import order_pixels
from avatar_worker.render.kernels.cpu import HeadKernel
from tests.unit.avatar_worker.kernels.characters import (
    audio_vector,
    camera_of,
    frontal_scene,
    made_up_head,
)

pytestmark = pytest.mark.unit


def test_frames_drawn_at_the_same_time_equal_frames_drawn_alone(kernel: HeadKernel):
    scene, packed = frontal_scene(height=24, width=24), kernel.pack(made_up_head())

    def draw(seed: int) -> np.ndarray:
        out = np.empty_like(scene.background)
        packed.paint(
            camera_of(scene), audio_vector(seed), scene.eye,
            background=scene.background, out=out, threads=1 + seed % 3,
        )  # fmt: skip
        return out

    alone = [draw(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, [*range(8), *range(8)]))
    for seed, picture in enumerate(together):
        assert np.array_equal(picture, alone[seed % 8])
    assert not np.array_equal(alone[0], alone[1])


def test_the_number_of_threads_changes_nothing(kernel: HeadKernel):
    scene, packed = frontal_scene(height=40, width=40), kernel.pack(made_up_head())
    pixels = order_pixels(40, 40)
    results = [
        packed.sums(camera_of(scene), audio_vector(), scene.eye, pixels=pixels, threads=n)
        for n in (1, 2, 5)
    ]
    for other in results[1:]:
        assert np.array_equal(other.rgb, results[0].rgb)
        assert other.counts.lengths == results[0].counts.lengths
        assert other.counts.cap == results[0].counts.cap


def test_the_order_of_pixels_changes_nothing(kernel: HeadKernel):
    scene, packed = frontal_scene(height=24, width=24), kernel.pack(made_up_head())
    ordered = order_pixels(24, 24)
    raster = np.arange(24 * 24, dtype=np.int32)
    first = packed.sums(camera_of(scene), audio_vector(), scene.eye, pixels=ordered)
    second = packed.sums(camera_of(scene), audio_vector(), scene.eye, pixels=raster)
    assert np.array_equal(first.rgb, second.rgb[ordered])


def test_the_rule_of_the_whole_picture_needs_only_the_pixels_that_meet_something(
    kernel: HeadKernel,
):
    scene, packed = frontal_scene(height=24, width=24), kernel.pack(made_up_head())
    everything = np.arange(24 * 24, dtype=np.int32)
    whole = packed.sums(camera_of(scene), audio_vector(), scene.eye, pixels=everything)
    met = np.flatnonzero(whole.samples).astype(np.int32)
    part = packed.sums(camera_of(scene), audio_vector(), scene.eye, pixels=met)
    assert part.counts.cap == whole.counts.cap
    assert np.array_equal(part.rgb, whole.rgb[met])


def test_no_pixels_are_no_work(kernel: HeadKernel):
    scene, packed = frontal_scene(height=24, width=24), kernel.pack(made_up_head())
    none = packed.sums(
        camera_of(scene), audio_vector(), scene.eye, pixels=np.zeros(0, np.int32), cap=20
    )
    assert none.rgb.shape == (0, 3)
    assert none.counts.evaluated == 0


def test_a_frame_that_blew_up_leaves_nothing_behind(kernel: HeadKernel):
    """Huge inputs once left infinities in a thread's memory, where they met zero weights."""
    scene, packed = frontal_scene(height=24, width=24), kernel.pack(made_up_head())
    pixels = order_pixels(24, 24)

    def draw(audio: np.ndarray, eye: np.ndarray) -> np.ndarray:
        return packed.sums(camera_of(scene), audio, eye, pixels=pixels, threads=1).rgb

    before = draw(audio_vector(), scene.eye)
    huge = np.full(32, 1e30, np.float32)
    draw(huge, np.full(7, -1e30, np.float32))
    draw(np.full(32, 3e38, np.float32), np.full(7, 3e38, np.float32))
    assert np.array_equal(draw(audio_vector(), scene.eye), before)
