"""`python -m avatar_worker import`: a character bundle from a data folder and a workspace."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tqdm import tqdm

from avatar_worker.bundle_manifest import check_name
from avatar_worker.commands.arguments import side_px
from avatar_worker.commands.refusal import UsageError, run_refusing
from avatar_worker.import_bundle import BundleOptions, write_bundle
from avatar_worker.persona_file import check_persona
from avatar_worker.trained import open_trained

LOOP_FRAMES: Final = 1500
"""One minute: longer loops are not noticed, but they weigh 60 kB a frame."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bundle; returns 0, or 2 with one sentence on standard error."""
    parsed = build_parser().parse_args(arguments)
    return run_refusing(lambda: import_character(parsed))


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m avatar_worker import", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR",
                        help="SyncTalk data folder")  # fmt: skip
    parser.add_argument("--workspace", type=Path, required=True, metavar="DIR",
                        help="folder with checkpoints/")  # fmt: skip
    parser.add_argument("--ckpt", default="latest", help="latest, best or a file")
    parser.add_argument("--ave", type=Path, metavar="FILE",
                        help="audio-visual encoder, if the checkpoint holds none")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR|FILE.zip",
                        help="the bundle: a new folder or archive")  # fmt: skip
    parser.add_argument("--name", required=True, help="lower-case identifier")
    parser.add_argument("--licence", default="not stated", help="of the character's data")
    parser.add_argument("--consent", default="not recorded", help="reference of the record")
    parser.add_argument("--persona", type=Path, metavar="FILE", help="persona.toml to go along")
    parser.add_argument("--split", choices=("train", "val"), default="train",
                        help="whose frames become the pose loop")  # fmt: skip
    parser.add_argument("--loop", type=int, nargs=2, metavar=("A", "B"), default=(0, LOOP_FRAMES),
                        help="frames A up to before B of the split (default: the first "
                             f"{LOOP_FRAMES}); B -1: to the end")  # fmt: skip
    parser.add_argument("--portrait", action=argparse.BooleanOptionalAction, default=None,
                        help="blend into the originals (default without --torso)")  # fmt: skip
    parser.add_argument("--torso", action="store_true", help="draw the neural torso")
    parser.add_argument("--att", type=int, choices=(0, 1, 2), default=2, help="audio window mode")
    parser.add_argument("--quality", type=int, default=90, help="of WebP pictures")
    parser.add_argument("--lossless", action="store_true", help="PNG: the data folder's pictures")
    parser.add_argument("--width", type=side_px, metavar="PX", help="scale pictures")
    parser.add_argument("--height", type=side_px, metavar="PX", help="scale pictures")
    return parser


def import_character(options: argparse.Namespace) -> None:
    """Write one bundle."""
    if not options.out.parent.is_dir():
        raise UsageError(f"--out {options.out}: the folder {options.out.parent} does not exist")
    if not 1 <= options.quality <= 100:
        raise UsageError(f"--quality {options.quality}: expected 1 to 100")
    check_name(options.name)
    for flag in ("licence", "consent"):
        if not getattr(options, flag).strip():
            raise UsageError(f"--{flag} is empty; leave it out if there is nothing to say")
    if options.persona is not None:
        check_persona(options.persona)
    start, stop = options.loop
    trained = open_trained(
        options.data,
        options.workspace,
        torso=options.torso,
        split=options.split,
        checkpoint=options.ckpt,
        attention=options.att,
        part=(start, None if stop == -1 else stop),
    )
    wanted = BundleOptions(
        name=options.name,
        licence=options.licence,
        consent=options.consent,
        portrait=not options.torso if options.portrait is None else options.portrait,
        quality=None if options.lossless else options.quality,
        width=options.width,
        height=options.height,
        persona=options.persona,
    )
    character = write_bundle(
        trained,
        options.out,
        wanted,
        encoder=options.ave,
        progress=lambda scenes: tqdm(scenes, unit="scene"),
    )
    print(f"{options.out}: character {character.name}, {character.width} × {character.height}")
