"""`python -m agent_worker.rehearsal DIR`: have every persona's fixed lines spoken once, and kept.

DIR holds personas as the platform tells them (`avatar_contracts.messages.Persona` in JSON). Without
this the lines are spoken ahead while a conversation runs; then the first visitor shares the
processor with it. Only the offline provider has lines that are known beforehand.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from agent_worker.config import AgentSettings, settings
from agent_worker.errors import AgentError
from agent_worker.models import Models
from agent_worker.providers.pipeline import PipelineProvider
from avatar_contracts.codec import ContractError, from_json
from avatar_contracts.messages import Persona


def rehearse(values: AgentSettings, folder: Path) -> None:
    """Speak what is not kept yet.

    Raises:
        AgentError: a line cannot be spoken.
        ContractError: a file is no persona.
    """
    models = Models(values)
    try:
        for path in sorted(folder.glob("*.json")):
            persona = from_json(Persona, path.read_text())
            provider = PipelineProvider("offline", values, models, persona)
            asyncio.run(provider.rehearse())
    finally:
        models.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m agent_worker.rehearsal")
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of personas in JSON")
    folder: Path = parser.parse_args().folder
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    try:
        values = settings()
        if values.provider == "offline":
            rehearse(values, folder)
    except (AgentError, ContractError) as error:
        print(f"rehearsal: {error}", file=sys.stderr)  # noqa: T201  # a command
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
