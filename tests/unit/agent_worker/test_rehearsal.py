"""Fixed lines are spoken once, before anybody waits for them."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent_worker.errors import AgentError
from agent_worker.models import Models
from agent_worker.providers.pipeline import PipelineProvider
from agent_worker.rehearsal import rehearse
from avatar_contracts.codec import ContractError, to_json
from avatar_contracts.messages import Persona
from tests.unit.agent_worker.cast import mira, settings

pytestmark = pytest.mark.component


def persona() -> Persona:
    return replace(mira(voice="piper:joe"), greeting="Hello.", knowledge=())


def test_after_the_rehearsal_no_line_has_to_be_made_again(tmp_path: Path) -> None:
    values = settings(tmp_path, agent_provider="offline")
    personas = tmp_path / "personas"
    personas.mkdir()
    (personas / "joe.json").write_text(to_json(persona()))
    rehearse(values, personas)
    models = Models(values)
    asyncio.run(PipelineProvider("offline", values, models, persona()).rehearse())
    assert models.speaker.spoken_count == 0
    assert list(tmp_path.rglob("*.flac"))
    models.close()


def test_a_file_that_is_no_persona_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"name": 3}')
    with pytest.raises((ContractError, AgentError)):
        rehearse(settings(tmp_path, agent_provider="offline"), tmp_path)
