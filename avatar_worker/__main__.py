"""`python -m avatar_worker <command> …`; a command's module is imported when it is called."""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import Final

COMMANDS: Final = {
    "run": ("avatar_worker.worker", "serve sessions"),
    "render": ("avatar_worker.commands.render", "draw a sound file to a video or an array"),
    "import": ("avatar_worker.commands.import_character", "make a character bundle"),
    "train": ("avatar_worker.train.command", "train a head or a torso from a data folder"),
    "prepare": ("avatar_worker.prepare.command", "make a data folder from footage"),
    "bench": ("avatar_worker.commands.bench", "measure this machine"),
}
"""Command → module with `main(arguments) -> exit code`, and what it does."""


def _exists(module: str) -> bool:
    """Whether a module is installed, without importing more than the packages around it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for wrong use or refused input)."""
    available = {name: entry for name, entry in COMMANDS.items() if _exists(entry[0])}
    listing = "\n".join(f"  {name:8} {purpose}" for name, (_, purpose) in available.items())
    parser = argparse.ArgumentParser(
        prog="python -m avatar_worker",
        description=f"Renders and publishes the face.\n\ncommands:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=list(available), metavar="command")
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parser.parse_args(given[:1]).command
    module = importlib.import_module(available[chosen][0])
    return int(module.main(given[1:]) or 0)


if __name__ == "__main__":
    sys.exit(main())
