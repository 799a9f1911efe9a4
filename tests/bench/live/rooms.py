"""Rooms and tokens on a throw-away LiveKit server, as the platform would make them."""

from datetime import timedelta

from livekit import api

from avatar_platform.local.engines import LiveKitAddress


async def create_room(address: LiveKitAddress, name: str) -> None:
    async with api.LiveKitAPI(
        address.url.replace("ws", "http", 1), address.api_key, address.api_secret
    ) as client:
        await client.room.create_room(api.CreateRoomRequest(name=name, empty_timeout=60))


async def delete_room(address: LiveKitAddress, name: str) -> None:
    async with api.LiveKitAPI(
        address.url.replace("ws", "http", 1), address.api_key, address.api_secret
    ) as client:
        await client.room.delete_room(api.DeleteRoomRequest(room=name))


def token(address: LiveKitAddress, room: str, identity: str, *, is_avatar: bool = False) -> str:
    made = (
        api.AccessToken(address.api_key, address.api_secret)
        .with_identity(identity)
        .with_ttl(timedelta(minutes=10))
        .with_grants(api.VideoGrants(room_join=True, room=room, can_update_own_metadata=True))
    )
    if is_avatar:
        made = made.with_kind("agent")
    return str(made.to_jwt())
