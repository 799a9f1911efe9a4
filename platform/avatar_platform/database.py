"""`DATABASE_URL` → Django's database settings: PostgreSQL, or SQLite for one machine."""

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from avatar_platform.config import SettingsError


def database_from_url(url: str, root: Path) -> dict[str, Any]:
    """Settings of one database.

    Several processes write, so SQLite keeps a write-ahead log, takes the write lock when a
    transaction begins (never in its middle, where waiting is impossible) and waits for it.

    Args:
        url: `sqlite:///relative/or//absolute/path`, or `postgresql://user:password@host:port/name`;
            what stands behind `?` is handed to the driver.
        root: a relative SQLite path is taken from here.

    Raises:
        SettingsError: another scheme, or no database name.
    """
    parts = urlsplit(url)
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    name = unquote(parts.path[1:])
    if not name:
        raise SettingsError("DATABASE_URL: the name of the database is missing")
    if parts.scheme == "sqlite":
        path = Path(name) if name.startswith("/") else root / name
        if name == ":memory:":
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}
        path.parent.mkdir(parents=True, exist_ok=True)
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": path,
            # A file, so that tests with threads meet real locks; its own for every process.
            "TEST": {"NAME": Path(tempfile.gettempdir()) / f"avatar-test-{os.getpid()}.sqlite3"},
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if parts.scheme in ("postgres", "postgresql"):
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname or "",
            "PORT": parts.port or "",
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"connect_timeout": 5, **options},
        }
    raise SettingsError(f"DATABASE_URL: expected sqlite or postgresql, found {parts.scheme!r}")
