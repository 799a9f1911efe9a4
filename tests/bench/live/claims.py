"""A claim as the platform would hand it to an avatar worker."""

from avatar_contracts.beat import Claim
from avatar_platform.local.engines import LiveKitAddress
from tests.bench.live.rooms import token


def test_card_claim(livekit: LiveKitAddress, name: str, size: int) -> Claim:
    """Session and room are called `name`; the character is the test card at `size`²."""
    return Claim(
        session=name,
        epoch=1,
        livekit_url=livekit.url,
        room=name,
        token=token(livekit, name, "avatar", is_avatar=True),
        avatar_identity="avatar",
        agent_identity="agent",
        character="test-card",
        bundle_sha256="",
        engine="test-card",
        width=size,
        height=size,
    )
