"""A LiveKit server in memory; passes the same contract test as the real one.

Tokens and webhooks are pure computation, so the real code does them here too.
"""

from collections import defaultdict
from datetime import datetime

from avatar_platform import clock
from avatar_platform.errors import UnavailableError
from avatar_platform.gateways.livekit import (
    CALL_TIMEOUT_S,
    LiveKitRooms,
    Participant,
    Room,
    RoomEvent,
)

KEY, SECRET = "fake-key", "fake-secret-of-at-least-32-characters"


class FakeRooms:
    """Implements `RoomGateway`; `is_away` makes every call to the server fail."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self.people: dict[str, list[Participant]] = defaultdict(list)
        self.dispatches: dict[str, list[str]] = defaultdict(list)
        """Metadata of every dispatch ever made, by room."""
        self.is_away = False
        self._real = LiveKitRooms("ws://fake", KEY, SECRET)

    def ensure_room(
        self, room: str, *, metadata: str, empty_timeout_s: int, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self._answer()
        self.rooms.setdefault(room, Room(room, metadata, clock.now()))

    def delete_room(self, room: str) -> None:
        self._answer()
        self.rooms.pop(room, None)
        self.people.pop(room, None)

    def list_rooms(self) -> list[Room]:
        self._answer()
        return list(self.rooms.values())

    def list_participants(self, room: str) -> list[Participant]:
        self._answer()
        return list(self.people[room])

    def dispatch_agent(self, room: str, metadata: str) -> None:
        self._answer()
        self.dispatches[room].append(metadata)

    def person_token(
        self, room: str, identity: str, *, may_speak: bool, issued_at: datetime
    ) -> str:
        return self._real.person_token(room, identity, may_speak=may_speak, issued_at=issued_at)

    def avatar_token(self, room: str, session: str) -> str:
        return self._real.avatar_token(room, session)

    def receive_webhook(self, body: bytes, authorization: str) -> RoomEvent:
        return self._real.receive_webhook(body, authorization)

    def join(self, room: str, identity: str, *, is_agent: bool = False) -> None:
        """Somebody enters; the same identity replaces itself."""
        self.leave(room, identity)
        self.people[room].append(Participant(identity, is_agent))

    def leave(self, room: str, identity: str) -> None:
        self.people[room] = [p for p in self.people[room] if p.identity != identity]

    def _answer(self) -> None:
        if self.is_away:
            raise UnavailableError("the media server does not answer (fake)")
