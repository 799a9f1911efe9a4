"""LiveKit: rooms, agent dispatches, tokens and webhooks, behind a Protocol.

Every call has its own time limit and is repeated on transport failures only; all of them are safe
to repeat except a dispatch, which is sent once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

import aiohttp
import jwt
import tenacity
from asgiref.sync import async_to_sync
from livekit import api

from avatar_contracts.identities import (
    AGENT_NAME,
    PUBLISH_ON_BEHALF,
    SYNTHETIC_ATTRIBUTE,
    agent_identity,
    avatar_identity,
)
from avatar_platform.config import get_settings
from avatar_platform.errors import UnavailableError

CALL_TIMEOUT_S: Final = 3.0
TOKEN_TTL_S: Final = 60
"""Time to the first connect; LiveKit itself refreshes the token of whoever is connected."""
WEBHOOK_MAX_AGE_S: Final = 300
_TRANSIENT: Final = {"unavailable", "deadline_exceeded", "unknown"}
T = TypeVar("T")


class WebhookRefusedError(Exception):
    """The webhook is not from our LiveKit server, or too old."""


@dataclass(frozen=True, slots=True)
class Participant:
    identity: str
    is_agent: bool
    """Kind AGENT: our agent or avatar; everybody else is a person."""


@dataclass(frozen=True, slots=True)
class Room:
    name: str
    metadata: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """What LiveKit told by webhook, as far as we care."""

    id: str
    kind: str
    room: str
    participant: Participant | None


class RoomGateway(Protocol):
    """Every method that talks to the server raises `UnavailableError` when it does not answer."""

    def ensure_room(
        self, room: str, *, metadata: str, empty_timeout_s: int, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        """Create the room, or leave it as it is. Idempotent."""

    def delete_room(self, room: str) -> None:
        """Remove the room and everybody in it; one that is gone already is fine."""

    def list_rooms(self) -> list[Room]: ...

    def list_participants(self, room: str) -> list[Participant]:
        """Who is in the room; nobody when there is no such room."""

    def dispatch_agent(self, room: str, metadata: str) -> None:
        """Ask for a fresh agent; earlier dispatches into the room are withdrawn first."""

    def person_token(
        self, room: str, identity: str, *, may_speak: bool, issued_at: datetime
    ) -> str:
        """A token for a browser: this room, this identity, microphone and typed words at most."""

    def avatar_token(self, room: str, session: str) -> str:
        """A token for the session's avatar: camera and microphone, marked as synthetic."""

    def receive_webhook(self, body: bytes, authorization: str) -> RoomEvent:
        """Check a webhook and read it.

        Raises:
            WebhookRefusedError: signature, checksum or age do not fit.
        """


class LiveKitRooms:
    """The real one, over LiveKit's server API."""

    def __init__(self, url: str = "", key: str = "", secret: str = "") -> None:
        settings = get_settings()
        self._url = url or settings.livekit_url
        self._key = key or settings.livekit_api_key
        self._secret = secret or settings.livekit_api_secret.get_secret_value()

    def ensure_room(
        self, room: str, *, metadata: str, empty_timeout_s: int, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        request = api.CreateRoomRequest(
            name=room,
            metadata=metadata,
            empty_timeout=empty_timeout_s,
            departure_timeout=get_settings().platform_left_timeout_s + 10,
            sync_streams=True,
        )
        self._call(lambda lk: lk.room.create_room(request), timeout_s)

    def delete_room(self, room: str) -> None:
        self._call(_gone_is_fine(lambda lk: lk.room.delete_room(api.DeleteRoomRequest(room=room))))

    def list_rooms(self) -> list[Room]:
        answer = self._call(lambda lk: lk.room.list_rooms(api.ListRoomsRequest()))
        return [
            Room(room.name, room.metadata, datetime.fromtimestamp(room.creation_time, UTC))
            for room in answer.rooms
        ]

    def list_participants(self, room: str) -> list[Participant]:
        request = api.ListParticipantsRequest(room=room)
        answer = self._call(_gone_is_fine(lambda lk: lk.room.list_participants(request)))
        return [_participant(person) for person in answer.participants] if answer else []

    def dispatch_agent(self, room: str, metadata: str) -> None:
        request = api.CreateAgentDispatchRequest(
            agent_name=AGENT_NAME, room=room, metadata=metadata
        )

        async def replace(lk: api.LiveKitAPI) -> None:
            for old in await lk.agent_dispatch.list_dispatch(room):
                await lk.agent_dispatch.delete_dispatch(old.id, room)
            await lk.agent_dispatch.create_dispatch(request)

        self._call(replace, repeat=False)

    def person_token(
        self, room: str, identity: str, *, may_speak: bool, issued_at: datetime
    ) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            can_publish=may_speak,
            can_publish_sources=["microphone"] if may_speak else [],
            can_publish_data=may_speak,  # what the visitor types travels as data (`lk.chat`)
            can_subscribe=True,
        )
        return self._sign(self._token(identity, grants), issued_at)

    def avatar_token(self, room: str, session: str) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=room,
            can_publish=True,
            can_publish_sources=["camera", "microphone"],
            can_publish_data=False,
            can_subscribe=False,
            can_update_own_metadata=True,
        )
        token = self._token(avatar_identity(session), grants).with_kind("agent")
        token = token.with_attributes(
            {PUBLISH_ON_BEHALF: agent_identity(session), SYNTHETIC_ATTRIBUTE: "true"}
        )
        return self._sign(token, datetime.now(UTC))

    def receive_webhook(self, body: bytes, authorization: str) -> RoomEvent:
        verifier = api.TokenVerifier(self._key, self._secret)
        try:
            event = api.WebhookReceiver(verifier).receive(
                body.decode(), authorization.removeprefix("Bearer ")
            )
        except Exception as error:  # the receiver raises bare exceptions and the JWT library's own
            raise WebhookRefusedError(type(error).__name__) from error
        age_s = datetime.now(UTC).timestamp() - event.created_at
        if age_s > WEBHOOK_MAX_AGE_S:
            raise WebhookRefusedError(f"{age_s:.0f} s old, at most {WEBHOOK_MAX_AGE_S} s allowed")
        person = _participant(event.participant) if event.participant.identity else None
        return RoomEvent(event.id, event.event, event.room.name, person)

    def _token(self, identity: str, grants: api.VideoGrants) -> api.AccessToken:
        return api.AccessToken(self._key, self._secret).with_identity(identity).with_grants(grants)

    def _sign(self, token: api.AccessToken, issued_at: datetime) -> str:
        """Like `to_jwt`, from a given moment: a repeated request gets the very same token."""
        claims = {
            **token.claims.asdict(),
            "sub": token.identity,
            "iss": self._key,
            "nbf": int(issued_at.timestamp()),
            "exp": int((issued_at + timedelta(seconds=TOKEN_TTL_S)).timestamp()),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def _call(
        self,
        call: Callable[[api.LiveKitAPI], Awaitable[T]],
        timeout_s: float = CALL_TIMEOUT_S,
        *,
        repeat: bool = True,
    ) -> T:
        """Run one API call in its own connection, within a time limit for all attempts together."""

        @tenacity.retry(
            retry=tenacity.retry_if_exception(_is_transient),
            stop=tenacity.stop_after_attempt(3 if repeat else 1),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=0.5),
            reraise=True,
        )
        async def attempt() -> T:
            limit = aiohttp.ClientTimeout(total=timeout_s)
            async with api.LiveKitAPI(self._url, self._key, self._secret, timeout=limit) as lk:
                return await call(lk)

        async def within_limit() -> T:
            async with asyncio.timeout(timeout_s):
                return await attempt()

        try:
            return async_to_sync(within_limit)()
        except (TimeoutError, aiohttp.ClientError, OSError, api.TwirpError) as error:
            raise UnavailableError(
                f"the media server does not answer ({type(error).__name__})"
            ) from error


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, api.TwirpError):
        return error.code in _TRANSIENT
    return isinstance(error, aiohttp.ClientError | OSError)


def _gone_is_fine(
    call: Callable[[api.LiveKitAPI], Awaitable[T]],
) -> Callable[[api.LiveKitAPI], Awaitable[T | None]]:
    async def tolerant(lk: api.LiveKitAPI) -> T | None:
        try:
            return await call(lk)
        except api.TwirpError as error:
            if error.code != api.TwirpErrorCode.NOT_FOUND:
                raise
            return None

    return tolerant


def _participant(info: api.ParticipantInfo) -> Participant:
    return Participant(info.identity, info.kind == api.ParticipantInfo.Kind.AGENT)
