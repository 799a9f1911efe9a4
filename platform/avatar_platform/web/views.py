"""The visitor's side: the conversation page and the few calls it makes.

    GET  /                        the page (only with DEMO_PAGE; else the way to the admin)
    POST /start                   {character} → 202: session, join token, signatures
    POST /s/<id>/token            back in after a reload or a lost connection; 409 when it is over
    POST /s/<id>/interrupt, /end  the page's buttons

The calls need Django's CSRF token; those about a session also its page token (`tokens.py`). There
is no API key in the page. Errors are problem+json, as in the API.
"""

import json
import mimetypes
from collections.abc import Callable
from functools import wraps
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from avatar_contracts.identities import EVENTS_TOPIC
from avatar_contracts.states import EndReason
from avatar_platform.access.auth import check_rate
from avatar_platform.access.services import demo_account
from avatar_platform.characters.selectors import find_startable
from avatar_platform.config import get_settings
from avatar_platform.errors import (
    InvalidRequestError,
    NotFoundError,
    PlatformError,
    WrongStateError,
    problem,
)
from avatar_platform.sessions import provisioning, selectors, services
from avatar_platform.sessions.models import Session
from avatar_platform.web import visitors
from avatar_platform.web.tokens import demand_page_token
from avatar_platform.web.words import FOR_VISITORS

View = Callable[..., HttpResponseBase]
START_RATE: Final = "12/m"
"""Of one address. Visitors have no key to be counted by; a family behind one router fits in."""
CALL_RATE: Final = "240/m"
PREVIEW_MAX_AGE_S: Final = 3600


def answers_problems(view: View) -> View:
    """Domain errors become problem+json; without DEMO_PAGE there is nothing here at all."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if not get_settings().demo_page:
                raise NotFoundError("the conversation page is switched off (DEMO_PAGE)")
            return view(request, *args, **kwargs)
        except PlatformError as error:
            return problem(error)

    return guarded


def of_own_session(view: View) -> View:
    """A call about a session, by the page that holds its token."""

    @require_POST
    @answers_problems
    @wraps(view)
    def allowed(request: HttpRequest, session_id: UUID) -> HttpResponseBase:
        _count(request, "calls", CALL_RATE)
        demand_page_token(request.headers.get("Authorization", ""), session_id)
        return view(request, visitors.find_session(session_id))

    return allowed


@require_GET
@never_cache
def conversation_page(request: HttpRequest) -> HttpResponse:
    """The page with every character a visitor may talk to; `?character=` chooses one."""
    if not get_settings().demo_page:
        return redirect("admin:index")
    wanted = request.GET.get("character", "")
    characters = [visitors.describe_character(who) for who in visitors.shown_characters(wanted)]
    chosen = next((c for c in characters if c["id"] == wanted), next(iter(characters), None))
    page = {
        "characters": characters,
        "chosen": chosen["id"] if chosen else None,
        "reasons": FOR_VISITORS,
        "start_path": reverse("web:start"),
        "session_path": "/s/",
        "socket_path": "/ws/sessions/",
        "events_topic": EVENTS_TOPIC,
    }
    return render(request, "web/session.html", {"page": page, "chosen": chosen})


@require_POST
@answers_problems
def start(request: HttpRequest) -> HttpResponseBase:
    """A new session with the chosen character; the room is there when the answer is."""
    _count(request, "starts", START_RATE)
    wish = services.Wish(character=_wanted_character(request))
    session = services.request_session(account=demo_account(), wish=wish)
    provisioning.try_ensure_room(session, provisioning.INLINE_TIMEOUT_S)
    return JsonResponse(visitors.handed_over(session), status=202)


@of_own_session
def rejoin(request: HttpRequest, session: Session) -> HttpResponseBase:
    """A fresh join token for the same session, or, when it is over, why it ended."""
    try:
        handed_over = visitors.handed_over(session)
    except WrongStateError:
        return JsonResponse({"session": selectors.describe(session)}, status=409)
    provisioning.try_ensure_room(session, provisioning.INLINE_TIMEOUT_S)
    return JsonResponse(handed_over)


@of_own_session
def interrupt(request: HttpRequest, session: Session) -> HttpResponseBase:
    services.interrupt(session=session)
    return HttpResponse(status=204)


@of_own_session
def end(request: HttpRequest, session: Session) -> HttpResponseBase:
    services.end_session(session_id=session.pk, reason=EndReason.USER_CLOSED)
    session.refresh_from_db()
    return JsonResponse(selectors.describe(session))


@require_GET
@answers_problems
def preview(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The picture a visitor sees while waiting for the moving one."""
    version = find_startable(account=demo_account(), name=slug).published_version
    if version is None or not version.preview:
        raise NotFoundError("this character has no preview picture")
    kind, _ = mimetypes.guess_type(version.preview.name)
    if kind not in ("image/png", "image/jpeg", "image/webp"):
        raise NotFoundError("this character's preview is no picture a browser shows")
    with version.preview.open("rb") as picture:
        response = HttpResponse(picture.read(), content_type=kind)
    response.headers["Cache-Control"] = f"public, max-age={PREVIEW_MAX_AGE_S}"
    return response


def _count(request: HttpRequest, what: str, rate: str) -> None:
    check_rate(f"web-{what}:{request.META.get('REMOTE_ADDR', '')}", rate)


def _wanted_character(request: HttpRequest) -> str:
    try:
        wanted = json.loads(request.body).get("character")
    except (ValueError, AttributeError):
        wanted = None
    if not isinstance(wanted, str) or not wanted:
        raise InvalidRequestError('expected {"character": "…"}')
    return wanted
