"""`python manage.py import_character BUNDLE` or `… --data DIR --workspace DIR`."""

import hashlib
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from avatar_platform.access.services import open_account
from avatar_platform.characters.models import CharacterVersion, ConsentKind
from avatar_platform.characters.services import import_bundle, publish_if_agreed
from avatar_platform.config import get_settings
from avatar_platform.refusals import in_a_sentence

CONVERT_WITHIN_S = 1800
BY = "import_character"
"""Who recorded the consent."""


class Command(BaseCommand):
    help = (
        "Register a character: a ready bundle (folder or zip), or a trained data folder and "
        "workspace, which is converted first, once, in a process of its own."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("bundle", nargs="?", type=Path, help="folder or zip of a character")
        parser.add_argument("--data", type=Path, help="data folder of a trained character")
        parser.add_argument("--workspace", type=Path, help="where its checkpoints lie")
        parser.add_argument(
            "--from-settings",
            action="store_true",
            help="SYNCTALK_DATA_PATH and SYNCTALK_WORKSPACE as the character `default`, "
            "if both exist",
        )
        parser.add_argument("--name", default="", help="slug, instead of the bundle's own")
        parser.add_argument("--account", default="", help="slug; default: everybody's character")
        parser.add_argument(
            "--consent",
            choices=ConsentKind.values,
            help="record this kind of consent, which publishing needs: `synthetic` for nobody's "
            "likeness, `person` for somebody who agreed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        data, workspace = options["data"], options["workspace"]
        if options["from_settings"]:
            settings = get_settings()
            data, workspace = settings.synctalk_data_path, settings.synctalk_workspace
            options["name"] = options["name"] or "default"
            options["consent"] = options["consent"] or ConsentKind.OPERATOR.value
            if not data.is_dir() or not workspace.is_dir():
                self.stdout.write(f"no trained character at {data} and {workspace}")
                return
        bundle: Path | None = options["bundle"]
        n_folders = sum(folder is not None for folder in (data, workspace))
        if n_folders != (2 if bundle is None else 0):
            raise CommandError("give a bundle, or --data and --workspace")
        for path in filter(None, (bundle, data, workspace)):
            if not path.exists():
                raise CommandError(f"{path}: there is neither a folder nor a file of this name")
        with in_a_sentence():
            if bundle is not None:
                version = self._import(bundle, options)
            else:
                version = self._import_trained(data, workspace, options)
        published = version.character.published_version_id == version.pk
        self.stdout.write(
            f"{version.character.slug} version {version.number}: {version.engine}, "
            f"{version.width}×{version.height}, {version.size_bytes / 1e6:.1f} MB, "
            + ("published" if published else "not published: no consent record (--consent)")
        )

    def _import(
        self, path: Path, options: dict[str, Any], source_sha256: str = ""
    ) -> CharacterVersion:
        account = options["account"]
        return import_bundle(
            path=path,
            account=open_account(name=account, slug=account) if account else None,
            slug=options["name"],
            consent=_consent(options),
            by=BY,
            source_sha256=source_sha256,
        )

    def _import_trained(
        self, data: Path, workspace: Path, options: dict[str, Any]
    ) -> CharacterVersion:
        """Convert and import, unless the character has this very state of the folders already."""
        source = _fingerprint(data, workspace)
        slug, account = options["name"] or data.name.lower(), options["account"]
        known = CharacterVersion.objects.filter(
            source_sha256=source, character__slug=slug, character__account__slug=account or None
        ).first()
        if known is not None:
            self.stdout.write(f"{data} and {workspace} have not changed")
            if not options["from_settings"]:  # at every start: what was withdrawn since stays so
                publish_if_agreed(version=known, consent=_consent(options), by=BY)
            return known
        with tempfile.TemporaryDirectory(prefix="character-") as scratch:
            bundle = Path(scratch) / "bundle"
            self._convert(data, workspace, bundle, options["name"])
            return self._import(bundle, options, source)

    def _convert(self, data: Path, workspace: Path, bundle: Path, name: str) -> None:
        """Have the avatar worker's converter make a bundle; checkpoints are opened there only."""
        settings = get_settings()
        command = [sys.executable, "-m", "avatar_worker", "import"]
        command += ["--data", str(data), "--workspace", str(workspace), "--out", str(bundle)]
        command += ["--name", name or data.name.lower()]
        command += ["--portrait" if settings.synctalk_portrait else "--no-portrait"]
        command += ["--torso"] if settings.synctalk_torso else []
        if settings.synctalk_ave_path is not None:
            command += ["--ave", str(settings.synctalk_ave_path)]
        command += ["--width", str(settings.avatar_width), "--height", str(settings.avatar_height)]
        self.stdout.write(f"converting {data} and {workspace} …")
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=CONVERT_WITHIN_S
        )
        if done.returncode != 0:
            raise CommandError(f"the character was refused:\n{done.stderr.strip()[-2000:]}")


def _consent(options: dict[str, Any]) -> ConsentKind | None:
    return ConsentKind(options["consent"]) if options["consent"] else None


def _fingerprint(data: Path, workspace: Path) -> str:
    """Changes with any file's name, size or time, and with the settings of the conversion."""
    settings = get_settings()
    digest = hashlib.sha256(
        f"{settings.synctalk_portrait} {settings.synctalk_torso} "
        f"{settings.avatar_width} {settings.avatar_height}".encode()
    )
    files = [path for folder in (data, workspace) for path in sorted(folder.rglob("*"))]
    if settings.synctalk_ave_path is not None:
        files.append(settings.synctalk_ave_path)
    for path in files:
        if path.is_file():
            stat = path.stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
