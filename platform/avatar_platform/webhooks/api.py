"""`/webhooks`: where an application wants to hear of its sessions."""

import uuid
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema, Status
from pydantic import Field

from avatar_platform.access.auth import ApiKeyAuth
from avatar_platform.access.models import Scope
from avatar_platform.problems import answers
from avatar_platform.schemas import Strict, WebAddress
from avatar_platform.sessions.api import caller_of
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
    callback_secret: str = Field(description="Signs what goes to a session's `callback_url`.")


def _show(endpoint: Endpoint) -> dict[str, Any]:
    fields = ("url", "events", "created_at")
    return {"id": str(endpoint.pk), **{field: getattr(endpoint, field) for field in fields}}


@router.get("", auth=WRITE, response={200: Endpoints, **answers()})
def list_webhooks(request: HttpRequest) -> dict[str, Any]:
    """Your addresses, newest first."""
    account = caller_of(request).account
    items = [_show(endpoint) for endpoint in Endpoint.objects.filter(account=account)]
    return {"items": items, "callback_secret": services.secret_of(account)}


@router.post("", auth=WRITE, response={201: EndpointMade, **answers()})
def add_webhook(request: HttpRequest, wish: EndpointIn) -> Status[dict[str, Any]]:
    """Hear of your sessions at an address."""
    endpoint = services.add_endpoint(
        account=caller_of(request).account, url=str(wish.url), events=wish.events
    )
    return Status(201, {**_show(endpoint), "secret": services.secret_of(endpoint)})


@router.delete("/{uuid:webhook_id}", auth=WRITE, response={204: None, **answers(404)})
def remove_webhook(request: HttpRequest, webhook_id: uuid.UUID) -> Status[None]:
    """Hear nothing there any more."""
    services.remove_endpoint(account=caller_of(request).account, endpoint_id=webhook_id)
    return Status(204, None)
