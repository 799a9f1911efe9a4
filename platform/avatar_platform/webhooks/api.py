"""`/webhooks`: where an application wants to hear of its sessions."""

import uuid
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from avatar_platform.access.auth import ApiKeyAuth
from avatar_platform.access.idempotency import once
from avatar_platform.access.models import Scope
from avatar_platform.paging import DEFAULT_LIMIT, Limit, page
from avatar_platform.problems import answers
from avatar_platform.schemas import Strict, WebAddress
from avatar_platform.sessions.api import IdempotencyKey, caller_of
from avatar_platform.webhooks import services
from avatar_platform.webhooks.models import Endpoint

router = Router(tags=["webhooks"])
WRITE = ApiKeyAuth(Scope.SESSIONS_WRITE)


class EndpointIn(Strict):
    url: WebAddress
    events: list[str] = Field(default_factory=list, description="Empty: all.", max_length=20)


class EndpointOut(Schema):
    id: str
    url: str
    events: list[str]
    created_at: datetime


class EndpointMade(EndpointOut):
    secret: str = Field(description="Signs the messages (Standard Webhooks).")


class Endpoints(Schema):
    items: list[EndpointOut]
    next_cursor: str | None
    callback_secret: str = Field(description="Signs what goes to a session's `callback_url`.")


def _show(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.pk),
        "url": endpoint.url,
        "events": endpoint.events,
        "created_at": endpoint.created_at.isoformat(),
    }


@router.get("", auth=WRITE, response={200: Endpoints, **answers()})
def list_webhooks(
    request: HttpRequest, cursor: str | None = None, limit: Limit = DEFAULT_LIMIT
) -> dict[str, Any]:
    """Your addresses, newest first."""
    account = caller_of(request).account
    found = page(Endpoint.objects.filter(account=account), cursor=cursor, limit=limit, show=_show)
    return {**found, "callback_secret": services.secret_of(account)}


@router.post("", auth=WRITE, response={201: EndpointMade, **answers(409)})
def add_webhook(
    request: HttpRequest, wish: EndpointIn, idempotency_key: IdempotencyKey = None
) -> Status[dict[str, Any]]:
    """Hear of your sessions at an address."""
    account = caller_of(request).account

    def add() -> dict[str, Any]:
        return _show(services.add_endpoint(account=account, url=str(wish.url), events=wish.events))

    body, _ = once(
        account=account, key=idempotency_key, path=request.path, body=request.body, do=add
    )
    # Not in the answer that is kept: the secret is derived from the id, and stored nowhere.
    secret = services.secret_of(Endpoint(pk=uuid.UUID(body["id"])))
    return Status(201, {**body, "secret": secret})


@router.delete("/{uuid:webhook_id}", auth=WRITE, response={204: None, **answers(404)})
def remove_webhook(request: HttpRequest, webhook_id: uuid.UUID) -> Status[None]:
    """Hear nothing there any more."""
    services.remove_endpoint(account=caller_of(request).account, endpoint_id=webhook_id)
    return Status(204, None)
