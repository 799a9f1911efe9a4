"""Conversations run on threads of one process; livekit's plugins register on the main one only."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.component

ON_A_THREAD = """
import threading
from agent_worker.config import AgentSettings
from agent_worker.models import Models
from agent_worker.providers.choice import load_plugins, make_provider
from avatar_contracts.messages import Persona

settings = AgentSettings(
    _env_file=None,
    agent_provider="{name}",
    google_api_key="k",
    openai_api_key="k",
    livekit_api_key="k",
    livekit_api_secret="s",
    worker_token="a-worker-token",
)
load_plugins(settings)
made = []
persona = Persona(name="Mira", greeting="", instructions="", voice="", language="en-US")
thread = threading.Thread(
    target=lambda: made.append(make_provider(settings, Models(settings), persona))
)
thread.start()
thread.join()
print(made[0].name)
"""


@pytest.mark.parametrize("name", ["gemini", "openai", "offline"])
def test_a_provider_can_be_made_on_a_conversations_thread(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_A_THREAD.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith(name), done.stderr
