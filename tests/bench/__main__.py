"""`make bench`: the figures that this machine can give, one script after the other.

Every script prints ratios measured in one run beside its absolute times: these say how fast this
machine is, those how fast the construction is. The processor is named first, since most figures
depend on its instruction sets. What is printed becomes `docs/figures.md`.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    ("The head kernel against the PyTorch renderer", ["tests.bench.head_kernel", "--twin"]),
    ("Against a straight PyTorch renderer", ["tests.bench.straight_torch"]),
    ("A picture of the shipped character", ["tests.bench.demo_character"]),
    ("The drawn mouth against the sound", ["tests.bench.sync_score"]),
    ("A head on a GPU", ["tests.bench.gpu_head"]),
    ("The fused training step against PyTorch", ["tests.bench.head_trainer"]),
    ("Sessions that speak, in real rooms", ["tests.bench.live_load"]),
    ("Pictures in a browser", ["tests.bench.browser_rate"]),
    ("Sound against picture at a viewer", ["tests.bench.live_sync"]),
    ("Sound against picture when a microphone is repeated", ["tests.bench.echo_sync"]),
    ("At rest: silence, room noise, transitions", ["tests.bench.idle_motion"]),
    ("Many sessions in one process", ["tests.bench.many_sessions"]),
)
FIGURES = Path("docs/figures.md")


def processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    flags = set(fields.get("flags", "").split())
    sets = [
        name
        for name in ("amx_bf16", "avx512_fp16", "avx512_bf16", "avx512f", "avx2")
        if name in flags
    ]
    return f"{fields.get('model name', platform.machine())}, {' '.join(sets) or 'no vector sets'}"


def run(command: list[str]) -> tuple[str, bool]:
    """What a script prints, shown while it comes, and whether it succeeded."""
    lines = []
    with subprocess.Popen(
        [sys.executable, "-u", "-m", *command], stdout=subprocess.PIPE, text=True
    ) as script:
        for line in script.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return "".join(lines), script.returncode == 0


def main() -> int:
    machine = f"{os.cpu_count()} cores: {processor()}; load before {os.getloadavg()[0]:.1f}"
    print(f"{machine}\n")
    parts = [f"# Figures\n\nPrinted by `make bench` on {machine}.\n"]
    succeeded = True
    for title, command in SCRIPTS:
        print(f"## {title}\n", flush=True)
        printed, well = run(command)
        succeeded &= well
        parts.append(f"## {title}\n\n`python -m {' '.join(command)}`\n\n```\n{printed}```\n")
        print(flush=True)
    if succeeded:
        FIGURES.write_text("\n".join(parts))
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
