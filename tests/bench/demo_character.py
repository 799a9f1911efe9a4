"""How long a picture of the shipped character takes: whole pictures at full size, as shown live.

    python -m tests.bench.demo_character [--frames 50]

Wall time is what a viewer waits; processor time over both threads is what other sessions lose. They
are drawn as the bundle says, with its finer grid if it has one; the lines below compare pictures of
speech with and without a grid, drawn in turn.
"""

import argparse
import sys
import time

from avatar_worker.character import Character, load_bundle
from avatar_worker.render.kernels import load_kernel
from avatar_worker.render.kernels.isa import available_isas
from avatar_worker.render.painters import KernelPainter
from avatar_worker.render.renderer import PORTRAIT_CAP, FrameRequest, Renderer
from avatar_worker.slots import SHIPPED_CHARACTER
from tests.bench.finer import report, spoken_drawings, spoken_grid

WARM_UP_FRAMES = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50)
    frames = parser.parse_args().frames
    character = load_bundle(SHIPPED_CHARACTER)
    assert character.head is not None
    assert character.audio is not None
    assert character.scenes is not None
    rest = character.audio.silence()
    print(f"{character.name}, {character.width} × {character.height}, portrait")
    print(f"{'kernel':12} {'threads':>7} {'median ms':>10} {'p95 ms':>8} {'cpu ms':>8}")
    for isa in available_isas():
        kernel = load_kernel(isa.name)
        if kernel is None:
            continue
        for threads in (1, 2):
            painter = KernelPainter(character.head, kernel, threads, character.finer)
            renderer = Renderer(painter, character.scenes, portrait=True, cap=PORTRAIT_CAP)
            wall, busy = [], []
            for index in range(WARM_UP_FRAMES + frames):
                began_s, used_s = time.perf_counter(), time.process_time()
                renderer.render(FrameRequest(rest, index % character.scenes.n_scenes))
                wall.append(1e3 * (time.perf_counter() - began_s))
                busy.append(1e3 * (time.process_time() - used_s))
            wall, busy = sorted(wall[WARM_UP_FRAMES:]), sorted(busy[WARM_UP_FRAMES:])
            print(
                f"{isa.name:12} {threads:7} {wall[frames // 2]:10.1f} "
                f"{wall[int(0.95 * frames)]:8.1f} {busy[frames // 2]:8.1f}"
            )
    try:
        compare_grids(character)
    except OSError as error:
        print(f"no finer grid to compare with: {error}")
    return 0


def compare_grids(character: Character) -> None:
    """Print what the bundle's finer grid spares, or one that is made here of formant voices."""
    assert character.head is not None
    drawings, grid = spoken_drawings(character, 16), None
    for isa in available_isas():
        kernel = load_kernel(isa.name)
        if kernel is None:
            continue
        grid = grid or spoken_grid(character, kernel)
        report(f"finer grid, {isa.name}", kernel.pack(character.head),
               kernel.pack(character.head, grid), drawings)  # fmt: skip
    if grid is not None:
        print(f"{'its own' if character.finer else 'made here'}: {grid.filled_share:.3f} of the "
              f"small cells filled, {len(grid.to_bytes()) / 1e3:.0f} kB")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
