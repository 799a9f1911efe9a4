"""In whose name visitors of our own page talk, with whom, and what their browser is handed."""

from typing import Any, Final
from uuid import UUID

from django.templatetags.static import static
from django.urls import reverse

from avatar_platform.access.services import demo_account
from avatar_platform.characters.models import TEST_CARD, Character
from avatar_platform.characters.selectors import startable_characters
from avatar_platform.sessions import live, selectors
from avatar_platform.sessions.joining import join
from avatar_platform.sessions.models import Session
from avatar_platform.web.tokens import page_token

TAGLINE_CHARS: Final = 100


def shown_characters(wanted: str = "") -> list[Character]:
    """Whom a visitor may choose, the operator's `default` first.

    The test card measures and does not converse: it is shown when asked for, or when alone.
    """
    by_slug: dict[str, Character] = {}
    for who in startable_characters(demo_account()):
        if who.slug not in by_slug or who.account_id:  # the account's own goes before everybody's
            by_slug[who.slug] = who
    if wanted != TEST_CARD and len(by_slug) > 1:
        by_slug.pop(TEST_CARD, None)
    return sorted(by_slug.values(), key=lambda who: (who.slug != "default", who.name.casefold()))


def describe_character(character: Character) -> dict[str, Any]:
    """A character for the page; `id` is what `POST /start` takes."""
    version = character.published_version
    preview = static("web/face.svg")
    if version is not None and version.preview:
        preview = f"{reverse('web:preview', args=[character.slug])}?v={version.number}"
    (tagline, *_) = character.description.strip().splitlines() or [""]
    if len(tagline) > TAGLINE_CHARS:
        tagline = tagline[: TAGLINE_CHARS - 1].rsplit(" ", 1)[0] + "…"
    return {"id": character.slug, "name": character.name, "tagline": tagline, "preview": preview}


def find_session(session_id: UUID) -> Session:
    """A visitor's session.

    Raises:
        NotFoundError: there is none, or it was erased.
    """
    return selectors.get_session(account=demo_account(), session_id=session_id)


def handed_over(session: Session) -> dict[str, Any]:
    """What the visitor's browser needs: the session, a fresh join token, and its two signatures.

    Raises:
        WrongStateError: the session is ending or over.
    """
    return {
        **selectors.describe(session),
        "livekit": join(session),
        "ws_token": live.watch_token(session.pk),
        "page_token": page_token(session.pk),
    }
