"""`python -m agent_worker`: take conversations until told to stop."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from agent_worker.config import settings
from agent_worker.errors import LiveKitUnreachableError, SettingsError
from agent_worker.observability import configure_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; returns 0, 2 for wrong use or settings, or 1 without LiveKit."""
    argparse.ArgumentParser(prog="python -m agent_worker", description=__doc__).parse_args(
        arguments
    )
    try:
        values = settings()
        values.require_credentials()
    except SettingsError as error:
        print(f"agent worker: {error}", file=sys.stderr)  # noqa: T201  # before logging exists
        return 2
    configure_logging(values.agent_log_format)
    from agent_worker.server import serve  # after the settings: it imports much

    try:
        asyncio.run(serve(values))
    except LiveKitUnreachableError as error:
        print(f"agent worker: {error}", file=sys.stderr)  # noqa: T201  # the last word
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
