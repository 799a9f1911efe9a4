"""The agent worker's settings: environment (and `.env`) → typed values, read once per process."""

import os
from functools import cache
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent_worker.errors import SettingsError

SECRETS_DIR: Final = Path("/run/secrets")
ProviderName = Literal["gemini", "offline", "openai"]
NEEDS_GOOGLE: Final = (
    "AGENT_PROVIDER=gemini needs GOOGLE_API_KEY, or GCP_PROJECT_ID and "
    "GOOGLE_APPLICATION_CREDENTIALS"
)
NEEDS_OPENAI: Final = "AGENT_PROVIDER=openai needs OPENAI_BASE_URL or OPENAI_API_KEY"


class AgentSettings(BaseSettings):
    """What an operator can set for the agent worker; every variable is in `.env.example`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    platform_url: str = "http://localhost:8000"
    worker_token: SecretStr = SecretStr("")
    livekit_url: str = "ws://localhost:7880"
    livekit_api_key: str = "devkey"
    livekit_api_secret: SecretStr = SecretStr("devsecret")
    avatar_cache_dir: Path = Path("~/.cache/avatar-platform")

    agent_provider: ProviderName | None = None
    agent_max_sessions: int = Field(default=8, ge=1, le=256)
    agent_drain_s: int = Field(default=60, ge=0)
    agent_health_host: str = "127.0.0.1"
    agent_health_port: int = Field(default=8081, ge=0, le=65_535)
    agent_voice: str = "kokoro:af_heart"
    agent_turn_detection: Literal["vad", "v1-mini"] = "vad"
    agent_log_format: Literal["json", "console"] = "json"

    gemini_model: str = "gemini-live-2.5-flash-preview-native-audio-09-2025"
    gemini_voice: str = "Aoede"
    gemini_api_version: str = ""
    gemini_proactive_audio: bool = False
    gemini_affective_dialog: bool = False
    gcp_project_id: str = Field(
        default="", validation_alias=AliasChoices("GCP_PROJECT_ID", "VERTEX_PROJECT_ID")
    )
    gcp_region: str = Field(
        default="us-central1", validation_alias=AliasChoices("GCP_REGION", "VERTEX_LOCATION")
    )
    google_application_credentials: str = ""
    google_api_key: SecretStr = SecretStr("")

    openai_base_url: str = ""
    openai_api_key: SecretStr = SecretStr("")
    openai_model: str = "gpt-4o-mini"
    openai_stt_model: str = ""
    openai_tts_model: str = ""

    @field_validator("agent_provider", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        return value or None

    @field_validator("platform_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("expected an address like https://avatar.example.org")
        return value.rstrip("/")

    @field_validator("livekit_url")
    @classmethod
    def _ws(cls, value: str) -> str:
        if not value.startswith(("ws://", "wss://", "http://", "https://")):
            raise ValueError("expected an address like ws://localhost:7880")
        return value

    @field_validator("avatar_cache_dir")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser()

    @property
    def has_google_credentials(self) -> bool:
        """Whether Gemini can be reached: by key, or by project and service account."""
        return bool(
            self.google_api_key.get_secret_value()
            or (self.gcp_project_id and self.google_application_credentials)
        )

    @property
    def has_openai_access(self) -> bool:
        """Whether an OpenAI-compatible server can be reached: OpenAI's by key, or another."""
        return bool(self.openai_base_url or self.openai_api_key)

    @property
    def provider(self) -> ProviderName:
        """What was asked for; unset: Gemini when it can be reached, else offline."""
        return self.agent_provider or ("gemini" if self.has_google_credentials else "offline")

    def require_credentials(self) -> None:
        """Refuse to serve where every conversation would fail.

        Raises:
            SettingsError: the provider that was asked for cannot be reached.
        """
        if self.provider == "gemini" and not self.has_google_credentials:
            raise SettingsError(NEEDS_GOOGLE)
        if self.provider == "openai" and not self.has_openai_access:
            raise SettingsError(NEEDS_OPENAI)

    @classmethod
    def read(cls) -> Self:
        """From the environment.

        Raises:
            SettingsError: a value is wrong; the text has the variable and what is expected.
        """
        try:
            return cls()
        except ValidationError as error:
            lines = [
                f"{str(fault['loc'][0]).upper()}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors()
            ]
            raise SettingsError("; ".join(lines)) from None


@cache
def settings() -> AgentSettings:
    """This process's settings.

    livekit-agents and Google's libraries read some of these from the environment by themselves, so
    what came from `.env` is put there too.
    """
    values = AgentSettings.read()
    if values.google_application_credentials:
        os.environ.setdefault(
            "GOOGLE_APPLICATION_CREDENTIALS", values.google_application_credentials
        )
    return values
