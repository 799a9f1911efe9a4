"""The WebSocket that watches one session: its state first, then whatever happens (`live.py`).

Who may watch: a member of staff by cookie (the admin's session page), an application by API key
(`Authorization: Bearer …`), or the bearer of a watch token for just this session (`?token=…`; the
conversation page sends it as a subprotocol instead, since addresses end up in logs). Anybody else
is closed with 4401, and with 4404 where there is no such session, which is also what another
tenant's session is.
"""

from base64 import urlsafe_b64decode
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from avatar_contracts.states import SessionState
from avatar_platform.access.auth import Caller, find_caller
from avatar_platform.access.models import Scope
from avatar_platform.errors import ForbiddenError, UnauthenticatedError
from avatar_platform.sessions import live, selectors
from avatar_platform.sessions.models import Session

CLOSE_REFUSED: Final = 4401
CLOSE_NOT_FOUND: Final = 4404
SUBPROTOCOL: Final = "avatar.watch"
"""Offered together with a second one, which is the watch token in base64url."""
_ORDER: Final = [state.value for state in SessionState]


class SessionConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels is untyped
    """Forwards the messages of one session's group; what the client sends is ignored."""

    group: str | None = None
    newest: tuple[int, int] = (0, 0)
    """Epoch and place in the life of a session of what was sent last."""

    async def connect(self) -> None:
        # Accepted before it is judged: a browser learns a close code only of an open socket.
        offered = self.scope.get("subprotocols", [])
        await self.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        session_id = str(self.scope["url_route"]["kwargs"]["session_id"])
        self.group = live.group_name(session_id)
        # Joined before reading, so that no change falls between the two; messages wait meanwhile.
        await self.channel_layer.group_add(self.group, self.channel_name)
        try:
            body = await self._read(session_id)
        except (UnauthenticatedError, ForbiddenError):
            await self._refuse(CLOSE_REFUSED)
            return
        if body is None:
            await self._refuse(CLOSE_NOT_FOUND)
            return
        await self.session_message({"message": {"type": "session", **body}})

    async def _refuse(self, code: int) -> None:
        await self.disconnect(code)
        await self.close(code)

    async def disconnect(self, code: int) -> None:
        if self.group is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)
            self.group = None

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Watchers have nothing to say here."""

    async def session_message(self, event: dict[str, Any]) -> None:
        """Forward a message, unless it tells of a state that the session has left behind.

        Several processes push: each reads the row and sends it, and another may do both in between.
        """
        message = event["message"]
        if message["type"] == "session":
            place = (message["epoch"], _ORDER.index(message["status"]))
            if place < self.newest:
                return
            self.newest = place
        await self.send_json(message)

    @database_sync_to_async  # type: ignore[untyped-decorator]  # channels is untyped
    def _read(self, session_id: str) -> dict[str, Any] | None:
        """The session as its watcher may see it; None: there is none for them.

        Raises:
            UnauthenticatedError: neither cookie nor key nor token says who this is.
            ForbiddenError: the key may not read sessions.
        """
        found = Session.objects.filter(pk=session_id, erased_at=None).select_related("character")
        if not self._holds_token(session_id) and not self._is_staff():
            found = found.filter(account=self._caller().account)
        session = found.first()
        return selectors.describe(session) if session else None

    def _holds_token(self, session_id: str) -> bool:
        (token, *_) = parse_qs(self.scope["query_string"].decode()).get("token", [""])
        offered = list(self.scope.get("subprotocols", []))
        if not token and len(offered) == 2 and offered[0] == SUBPROTOCOL:
            token = _decoded(offered[1])
        return live.watched_session(token) == session_id

    def _is_staff(self) -> bool:
        """A cookie counts only on our own pages: browsers send it from foreign ones too."""
        user = self.scope.get("user")
        if user is None or not (user.is_active and user.is_staff):
            return False
        is_own_page = urlsplit(self._header(b"origin")).netloc == self._header(b"host")
        return is_own_page and user.has_perm("avatar_sessions.view_session")

    def _caller(self) -> Caller:
        scheme, _, key = self._header(b"authorization").partition(" ")
        caller = find_caller(key) if scheme.lower() == "bearer" else None
        if caller is None:
            raise UnauthenticatedError("neither cookie nor key nor token says who watches")
        if Scope.SESSIONS_READ.value not in caller.key.scopes:
            raise ForbiddenError(f"this key lacks the scope {Scope.SESSIONS_READ.value}")
        return caller

    def _header(self, name: bytes) -> str:
        headers: dict[bytes, bytes] = dict(self.scope["headers"])
        return headers.get(name, b"").decode("latin-1")


def _decoded(text: str) -> str:
    """base64url without padding, as a subprotocol may carry it; nonsense becomes nothing."""
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return ""
