"""Where downloads lie and how they are checked: nothing is used before its hash has matched."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

CACHE_VARIABLE = "AVATAR_RECIPES_CACHE"


class AssetError(RuntimeError):
    """A download is missing or is not the file that the recipe was written for."""


def cache_folder() -> Path:
    """The folder for downloads: `$AVATAR_RECIPES_CACHE`, else `var/cache`; made if missing."""
    folder = Path(os.environ.get(CACHE_VARIABLE) or "var/cache")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_sha256(name: str, content: bytes, expected: str) -> bytes:
    """Give the content back if its hash is the expected one.

    Raises:
        AssetError: The hash differs.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise AssetError(f"{name} has sha256 {found}, expected {expected}")
    return content


def npm_tarball(package: str, version: str, sha256: str) -> Path:
    """The packed npm package in the cache, fetched by the npm client if it is not there.

    Raises:
        AssetError: The file is not the pinned one, or npm could not fetch it.
    """
    path = cache_folder() / f"{package}-{version}.tgz"
    if not path.exists():
        command = ["npm", "pack", f"{package}@{version}", "--pack-destination", str(path.parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not path.exists():
            raise AssetError(f"npm could not fetch {package}@{version}: {done.stderr.strip()}")
    check_sha256(path.name, path.read_bytes(), sha256)
    return path
