"""Characters and voices, as applications see and change them."""

import hashlib
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import File, Router, Status, UploadedFile

from avatar_contracts.states import EndReason
from avatar_platform.access.auth import ApiKeyAuth
from avatar_platform.access.idempotency import once
from avatar_platform.access.models import Account, Scope
from avatar_platform.characters import services
from avatar_platform.characters.models import Character, CharacterVersion
from avatar_platform.characters.schemas import (
    CharacterIn,
    CharacterOut,
    CharacterPatch,
    Characters,
    VersionOut,
    Voices,
)
from avatar_platform.characters.selectors import (
    get_character,
    get_own_character,
    startable_characters,
    visible_characters,
)
from avatar_platform.characters.voices import VOICES
from avatar_platform.errors import NotFoundError
from avatar_platform.paging import DEFAULT_LIMIT, Limit, page
from avatar_platform.problems import answers
from avatar_platform.sessions.api import IdempotencyKey, caller_of
from avatar_platform.sessions.services import end_sessions_of

router = Router(tags=["characters"])
voices_router = Router(tags=["characters"])
READ = ApiKeyAuth(Scope.CHARACTERS_READ)
WRITE = ApiKeyAuth(Scope.CHARACTERS_WRITE)
UPLOAD = ApiKeyAuth(Scope.CHARACTERS_WRITE, creates=True)


def show(character: Character, *, startable: bool) -> dict[str, Any]:
    version = character.published_version
    fields = ("slug", "name", "description", "voice", "language", "greeting")
    is_own = character.account_id is not None
    has_preview = version is not None and bool(version.preview)
    return {
        "id": str(character.pk),
        **{field: getattr(character, field) for field in fields},
        "instructions": character.instructions if is_own else None,
        "knowledge": character.knowledge if is_own else None,
        "startable": startable,
        "published_version": show_version(version) if version else None,
        "preview_url": f"/api/v1/characters/{character.pk}/preview" if has_preview else None,
    }


def show_version(version: CharacterVersion) -> dict[str, Any]:
    fields = ("number", "engine", "width", "height", "size_bytes", "licence")
    return {"id": str(version.pk), **{field: getattr(version, field) for field in fields}}


def _shown(account: Account, character: Character) -> dict[str, Any]:
    startable = startable_characters(account).filter(pk=character.pk).exists()
    return show(character, startable=startable)


@router.get("", auth=READ, response={200: Characters, **answers()})
def list_characters(
    request: HttpRequest, cursor: str | None = None, limit: Limit = DEFAULT_LIMIT
) -> dict[str, Any]:
    """Your characters, and those that belong to everybody."""
    account = caller_of(request).account
    startable = set(startable_characters(account).values_list("pk", flat=True))
    return page(
        visible_characters(account),
        cursor=cursor,
        limit=limit,
        show=lambda who: show(who, startable=who.pk in startable),
        by="slug",
    )


@router.post("", auth=WRITE, response={201: CharacterOut, **answers(409)})
def create_character(
    request: HttpRequest,
    response: HttpResponse,
    wish: CharacterIn,
    idempotency_key: IdempotencyKey = None,
) -> Status[dict[str, Any]]:
    """A character without a look yet; upload a bundle as its first version."""
    account = caller_of(request).account

    def create() -> dict[str, Any]:
        return _shown(account, services.create_character(account=account, **wish.model_dump()))

    body, _ = once(
        account=account, key=idempotency_key, path=request.path, body=request.body, do=create
    )
    response.headers["Location"] = f"{request.path.rstrip('/')}/{body['id']}"
    return Status(201, body)


@router.get("/{character_id}", auth=READ, response={200: CharacterOut, **answers(404)})
def read_character(request: HttpRequest, character_id: str) -> dict[str, Any]:
    """One character, by id or slug."""
    account = caller_of(request).account
    return _shown(account, get_character(account=account, name=character_id))


@router.patch("/{character_id}", auth=WRITE, response={200: CharacterOut, **answers(404)})
def edit_character(request: HttpRequest, character_id: str, wish: CharacterPatch) -> dict[str, Any]:
    """Change its name, description or persona; sessions from now on have it."""
    account = caller_of(request).account
    character = get_own_character(account=account, name=character_id)
    changes = wish.model_dump(exclude_none=True)
    return _shown(account, services.edit_character(character=character, **changes))


@router.delete("/{character_id}", auth=WRITE, response={204: None, **answers(404)})
def delete_character(request: HttpRequest, character_id: str) -> Status[None]:
    """Remove it with its bundles; its running sessions end."""
    character = get_own_character(account=caller_of(request).account, name=character_id)
    end_sessions_of(character, EndReason.AVATAR_DELETED)
    services.delete_character(character=character)
    return Status(204, None)


@router.post(
    "/{character_id}/versions", auth=UPLOAD, response={201: VersionOut, **answers(404, 409)}
)
def upload_version(
    request: HttpRequest,
    character_id: str,
    bundle: File[UploadedFile],
    idempotency_key: IdempotencyKey = None,
) -> Status[dict[str, Any]]:
    """Upload a bundle (zip). It is published when an operator has recorded a consent."""
    account = caller_of(request).account
    character = get_own_character(account=account, name=character_id)
    sha256 = hashlib.sha256()
    with tempfile.NamedTemporaryFile(prefix="upload-", suffix=".zip") as file:
        for chunk in bundle.chunks():
            file.write(chunk)
            sha256.update(chunk)
        file.flush()

        def keep() -> dict[str, Any]:
            path = Path(file.name)
            version = services.import_bundle(path=path, account=account, slug=character.slug)
            return show_version(version)

        # The parts of a form are divided by other random words each time; the file stays the same.
        body, _ = once(
            account=account, key=idempotency_key, path=request.path, body=sha256.digest(), do=keep
        )
    return Status(201, body)


@router.get(
    "/{character_id}/preview",
    auth=READ,
    response=answers(404),
    openapi_extra={
        "responses": {
            200: {
                "description": "The picture.",
                "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
            }
        }
    },
)
def get_preview(request: HttpRequest, character_id: str) -> HttpResponseBase:
    """A picture of the published version."""
    found = get_character(account=caller_of(request).account, name=character_id)
    version = found.published_version
    if version is None or not version.preview:
        raise NotFoundError("this character has no preview picture")
    with version.preview.open("rb") as file:
        picture = file.read()
    kind = version.preview.name.rsplit(".", 1)[-1].replace("jpg", "jpeg")
    return HttpResponse(picture, content_type=f"image/{kind}")


@voices_router.get("", auth=READ, response={200: Voices, **answers()})
def list_voices(request: HttpRequest) -> dict[str, Any]:
    """Voices a persona may name."""
    return {"items": [asdict(voice) for voice in VOICES], "next_cursor": None}
