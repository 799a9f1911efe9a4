"""How long a picture of the shipped character takes: whole pictures at full size, as shown live.

    python -m tests.bench.demo_character [--frames 50]

Wall time is what a viewer waits; processor time over both threads is what other sessions lose.
"""

import argparse
import sys
import time

from avatar_worker.character import load_bundle
from avatar_worker.render.kernels import load_kernel
from avatar_worker.render.kernels.isa import available_isas
from avatar_worker.render.painters import KernelPainter
from avatar_worker.render.renderer import PORTRAIT_CAP, FrameRequest, Renderer
from avatar_worker.slots import SHIPPED_CHARACTER

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
            painter = KernelPainter(character.head, kernel, threads)
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
