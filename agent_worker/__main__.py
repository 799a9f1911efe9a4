"""`python -m agent_worker`: take conversations until told to stop."""

import asyncio
import sys

from agent_worker.config import settings
from agent_worker.errors import SettingsError
from agent_worker.observability import configure_logging


def main() -> int:
    try:
        values = settings()
    except SettingsError as error:
        print(f"agent worker: {error}", file=sys.stderr)  # noqa: T201  # before logging exists
        return 2
    configure_logging(values.agent_log_format)
    from agent_worker.server import serve  # after the settings: it imports much

    asyncio.run(serve(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
