"""The avatar worker's settings: environment (and `.env`) → typed values, once, checked at start."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRETS_DIR: Final = Path("/run/secrets")


class VideoCodec(StrEnum):
    VP8 = "vp8"
    H264 = "h264"


class ConfigurationError(ValueError):
    """A setting is missing or wrong; the text names the variable and what it should be."""


class WorkerSettings(BaseSettings):
    """Every field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env",
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        extra="ignore",
        frozen=True,
    )

    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    platform_url: str = "http://localhost:8000"
    worker_token: SecretStr = Field(min_length=8)
    avatar_class: str = Field("default", pattern=r"^[a-z0-9][a-z0-9-]*$")
    avatar_slots: int | Literal["auto"] = "auto"
    avatar_device: Literal["auto", "cuda", "cpu"] = "auto"
    avatar_render_threads: int = Field(0, ge=0)
    """Kernel threads of the render thread; 0: one per core."""
    avatar_cache_dir: Path = Path("~/.cache/avatar-platform")
    avatar_hubert_model: Path | None = None
    """For characters that listen to HuBERT."""
    avatar_fps: int = 25
    avatar_video_codec: VideoCodec = VideoCodec.VP8
    avatar_video_bitrate: int = Field(2_000_000, ge=100_000)
    avatar_health_host: str = "127.0.0.1"
    avatar_health_port: int = Field(9100, ge=0, le=65_535)
    """0: any free port."""
    avatar_drain_s: float = Field(100.0, ge=0)
    """After SIGTERM: how long running sessions may go on before they are handed over."""
    avatar_log_format: Literal["json", "console"] = "json"

    @field_validator("avatar_slots", mode="before")
    @classmethod
    def _has_a_slot(cls, value: object) -> object:
        text = str(value).strip()
        if text != "auto" and not (text.isdecimal() and int(text) >= 1):
            raise ValueError(f"expected a number of at least 1, or auto, found {text!r}")
        return text

    @field_validator("avatar_fps")
    @classmethod
    def _fps_is_the_characters(cls, value: int) -> int:
        if value != 25:
            raise ValueError(
                "25: characters are trained on 25 pictures a second, and one audio feature "
                "belongs to each; another rate would need another training"
            )
        return value

    @field_validator("avatar_hubert_model", mode="before")
    @classmethod
    def _is_a_file(cls, value: str | Path | None) -> Path | None:
        if not value:
            return None
        path = Path(value).expanduser()
        if not path.is_file():
            raise ValueError(f"the file of a HuBERT model, .onnx or TorchScript; {path} is none")
        return path

    @field_validator("avatar_cache_dir")
    @classmethod
    def _expand(cls, value: Path) -> Path:
        return value.expanduser()

    @property
    def render_threads(self) -> int:
        """One kernel thread per core this process may use, unless told otherwise."""
        if self.avatar_render_threads:
            return self.avatar_render_threads
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1


def load_settings() -> WorkerSettings:
    """The settings of this process.

    Raises:
        ConfigurationError: names each wrong variable.
    """
    try:
        return WorkerSettings()  # type: ignore[call-arg]  # values come from the environment
    except ValidationError as error:
        lines = [
            f"{str(item['loc'][0]).upper()}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        raise ConfigurationError("; ".join(lines)) from None


def load_settings_or_exit() -> WorkerSettings:
    """For the command line: a wrong setting ends the process with one clear line and code 2."""
    try:
        return load_settings()
    except ConfigurationError as error:
        sys.stderr.write(f"avatar worker: {error}\n")
        sys.exit(2)
