"""What every command does with input that is refused: one sentence, exit code 2."""

import logging
import sys
from collections.abc import Callable

from avatar_worker.audio.errors import AudioError
from avatar_worker.bundle_files import BundleError
from avatar_worker.only_run import FolderBusyError
from avatar_worker.render.errors import RenderError


class UsageError(Exception):
    """Options that do not go together."""


def run_refusing(command: Callable[[], None]) -> int:
    """Run a command; a refusal becomes one line on standard error and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        command()
    except (RenderError, AudioError, BundleError, FolderBusyError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
