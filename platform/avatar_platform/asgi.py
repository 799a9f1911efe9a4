"""The door for uvicorn: HTTP, WebSocket, and a sign of life while the process listens."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import Error

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avatar_platform.settings")
http = get_asgi_application()

# These need the apps, which the line above has loaded.
from avatar_platform.fleet.leases import SIGN_INTERVAL_S, WEB, give_sign  # noqa: E402
from avatar_platform.observability import log  # noqa: E402
from avatar_platform.sessions.routing import websocket_urlpatterns  # noqa: E402

Message = dict[str, Any]


async def lifespan(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Between start and stop, tell the database each second that beats can be heard here."""
    signs: asyncio.Task[None] | None = None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            signs = asyncio.create_task(_give_signs())
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            if signs is not None:
                signs.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await signs
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _give_signs() -> None:
    sign = sync_to_async(give_sign)
    while True:
        try:
            await sign(WEB)
        except Error as error:
            log().warning("database away", error=type(error).__name__)
        await asyncio.sleep(SIGN_INTERVAL_S)


class OwnPagesOrNoPage(OriginValidator):  # type: ignore[misc]  # channels is untyped
    """Browsers name the page they come from, and it must be ours; programs name none.

    A program brings a key or token of its own; a cookie is never taken from another's page.
    """

    def valid_origin(self, parsed_origin: Any) -> bool:
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": OwnPagesOrNoPage(
            AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), settings.ALLOWED_HOSTS
        ),
        "lifespan": lifespan,
    }
)
