"""What the platform relies on in LiveKit: the real server and the fake behave alike."""

import json
import secrets

import pytest

from avatar_platform.errors import UnavailableError
from avatar_platform.gateways.livekit import LiveKitRooms, RoomGateway
from avatar_platform.local.engines import LiveKitAddress
from tests.fakes.livekit import FakeRooms

pytestmark = pytest.mark.integration


@pytest.fixture(params=["fake", "real"])
def rooms(request: pytest.FixtureRequest) -> RoomGateway:
    if request.param == "fake":
        return FakeRooms()
    address: LiveKitAddress = request.getfixturevalue("livekit")
    return LiveKitRooms(address.url, address.api_key, address.api_secret)


@pytest.fixture
def room() -> str:
    return f"room-{secrets.token_hex(16)}"


def names(rooms: RoomGateway) -> set[str]:
    return {room.name for room in rooms.list_rooms()}


def test_a_room_ensured_twice_is_one_room_with_its_metadata(rooms: RoomGateway, room: str) -> None:
    for _ in range(2):
        rooms.ensure_room(room, metadata='{"platform":"x"}', empty_timeout_s=60)
    (found,) = [r for r in rooms.list_rooms() if r.name == room]
    assert json.loads(found.metadata) == {"platform": "x"}


def test_a_room_deleted_twice_is_gone(rooms: RoomGateway, room: str) -> None:
    rooms.ensure_room(room, metadata="", empty_timeout_s=60)
    for _ in range(2):
        rooms.delete_room(room)
    assert room not in names(rooms)


def test_nobody_is_in_an_empty_room_nor_in_none(rooms: RoomGateway, room: str) -> None:
    assert rooms.list_participants(room) == []
    rooms.ensure_room(room, metadata="", empty_timeout_s=60)
    assert rooms.list_participants(room) == []


def test_an_agent_can_be_dispatched_again_and_again(rooms: RoomGateway, room: str) -> None:
    rooms.ensure_room(room, metadata="", empty_timeout_s=60)
    for _ in range(2):
        rooms.dispatch_agent(room, '{"session":"s"}')


def test_a_server_that_is_not_there_is_said_within_the_time() -> None:
    nobody = LiveKitRooms("ws://127.0.0.1:9", "key", "secret-of-at-least-32-characters-long")
    with pytest.raises(UnavailableError, match="media server does not answer"):
        nobody.list_rooms()
