"""The environment of the demo: what the operator set, else values of this machine.

Secrets are made once and kept in `var/secrets.json` (0600): a second run signs the same way.
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

SECRET_NAMES: Final = (
    "DJANGO_SECRET_KEY",
    "WORKER_TOKEN",
    "LIVEKIT_API_SECRET",
    "ADMIN_PASSWORD",
)


@dataclass(frozen=True, slots=True)
class Ports:
    web: int
    redis: int
    livekit: int
    livekit_tcp: int
    livekit_udp: int
    agent_health: int
    avatar_health: int


def operator_environment(root: Path) -> dict[str, str]:
    """`.env`, overridden by the real environment."""
    from_file = {k: v for k, v in dotenv_values(root / ".env").items() if v is not None}
    return {**from_file, **os.environ}


def kept_secrets(path: Path) -> dict[str, str]:
    """Random secrets, made at the first run and read at every later one."""
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in SECRET_NAMES if name not in kept]
    if missing:
        kept |= {name: secrets.token_urlsafe(32) for name in missing}
        write_private(path, json.dumps(kept, indent=1))
    return kept


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def process_environment(
    *, operator: dict[str, str], secrets_: dict[str, str], ports: Ports, var: Path
) -> dict[str, str]:
    """What every process of the demo is given."""
    own_livekit = "LIVEKIT_URL" not in operator
    values = {
        "DEMO_PAGE": "true",
        "DJANGO_DEBUG": "false",
        "DJANGO_SECRET_KEY": secrets_["DJANGO_SECRET_KEY"],
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "WORKER_TOKEN": secrets_["WORKER_TOKEN"],
        "DATABASE_URL": f"sqlite:///{var / 'platform.sqlite3'}",
        "MEDIA_ROOT": str(var / "media"),
        "PLATFORM_URL": f"http://127.0.0.1:{ports.web}",
        "REDIS_URL": f"redis://127.0.0.1:{ports.redis}/0",
        "LIVEKIT_URL": f"ws://127.0.0.1:{ports.livekit}",
        "LIVEKIT_API_KEY": "devkey",
        "LIVEKIT_API_SECRET": secrets_["LIVEKIT_API_SECRET"],
        "AGENT_HEALTH_PORT": str(ports.agent_health),
        "AVATAR_HEALTH_PORT": str(ports.avatar_health),
        "AVATAR_DRAIN_S": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if own_livekit:
        operator = {k: v for k, v in operator.items() if not k.startswith("LIVEKIT_API_")}
    return {**values, **{k: v for k, v in operator.items() if k in values}, **_other(operator)}


def _other(operator: dict[str, str]) -> dict[str, str]:
    """Settings of ours that have no value of the demo's own (providers, characters, …)."""
    prefixes = (
        "AVATAR_",
        "AGENT_",
        "SYNCTALK_",
        "GEMINI_",
        "GCP_",
        "VERTEX_",
        "GOOGLE_",
        "OPENAI_",
    )
    return {k: v for k, v in operator.items() if k.startswith(prefixes)}
