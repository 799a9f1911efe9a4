"""The platform's settings: environment (and `.env`) → typed values, read once per process.

Django's `settings.py` reads this object and never touches the environment itself. Every variable is
described in `.env.example`.
"""

from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
REPOSITORY_ROOT: Final = _CHECKOUT if (_CHECKOUT / "manage.py").exists() else Path.cwd()
"""The checkout; of an installed platform, the folder that it was started in."""
SECRETS_DIR: Final = Path("/run/secrets")


class SettingsError(RuntimeError):
    """A variable is missing or wrong; the text names it and says what is expected."""


class PlatformSettings(BaseSettings):
    """What an operator can set for web, control worker and beat."""

    model_config = SettingsConfigDict(
        env_file=".env",
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        extra="ignore",
        frozen=True,
    )

    django_secret_key: SecretStr = SecretStr("")
    django_debug: bool = False
    allowed_hosts: str = "localhost,127.0.0.1,[::1]"
    platform_url: str = "http://localhost:8000"
    database_url: SecretStr = SecretStr("sqlite:///var/platform.sqlite3")
    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    media_root: Path = Path("var/media")
    worker_token: SecretStr = SecretStr("")
    demo_page: bool = False

    livekit_url: str = "ws://localhost:7880"
    livekit_public_url: str = ""
    livekit_api_key: str = "devkey"
    livekit_api_secret: SecretStr = SecretStr("devsecret")

    avatar_class: str = Field(default="default", pattern=r"^[a-z0-9-]{1,40}$")
    avatar_fps: int = 25

    platform_create_rate: str = Field(default="20/s", pattern=r"^[1-9]\d*/[1-9]?\d*[smh]$")
    platform_request_rate: str = Field(default="200/s", pattern=r"^[1-9]\d*/[1-9]?\d*[smh]$")
    platform_max_sessions: int = Field(default=20, ge=1)
    platform_queue_timeout_s: int = Field(default=300, ge=5)
    platform_absent_timeout_s: int = Field(default=60, ge=5)
    platform_left_timeout_s: int = Field(default=20, ge=1)
    platform_webhooks_private: bool = False

    synctalk_data_path: Path = Path("data/May")
    synctalk_workspace: Path = Path("model/trial_may")
    synctalk_ave_path: Path | None = None
    synctalk_portrait: bool = True
    synctalk_torso: bool = False
    avatar_width: int = Field(default=512, ge=64, le=2048)
    avatar_height: int = Field(default=512, ge=64, le=2048)

    @field_validator("avatar_fps")
    @classmethod
    def _only_25(cls, value: int) -> int:
        if value != 25:
            raise ValueError(
                "only 25 is possible: audio windows and tracks are made for 25 frames a second"
            )
        return value

    @field_validator("platform_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("expected an address like https://avatar.example.org")
        return value.rstrip("/")

    @field_validator("livekit_url")
    @classmethod
    def _ws(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("ws", "wss", "http", "https"):
            raise ValueError("expected an address like ws://localhost:7880")
        return value.rstrip("/")

    @property
    def is_secure(self) -> bool:
        """People reach us over TLS, so cookies and redirects can insist on it."""
        return self.platform_url.startswith("https://")

    @property
    def browser_livekit_url(self) -> str:
        """Where browsers find LiveKit; the same as the workers unless said otherwise."""
        return self.livekit_public_url or self.livekit_url

    @property
    def hosts(self) -> list[str]:
        named = [host.strip() for host in self.allowed_hosts.split(",") if host.strip()]
        own = urlsplit(self.platform_url).hostname
        return [*named, own] if own and own not in named else named


@cache
def get_settings() -> PlatformSettings:
    """The settings of this process.

    Raises:
        SettingsError: a value is wrong; names the variable and the expected form.
    """
    try:
        return PlatformSettings()
    except ValidationError as error:
        lines = [
            f"{'_'.join(str(part) for part in issue['loc']).upper()}: {issue['msg']}"
            for issue in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsError("wrong settings\n  " + "\n  ".join(lines)) from None
