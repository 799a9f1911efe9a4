"""Claims as the platform would hand them to an avatar worker."""

from avatar_contracts.beat import Claim
from avatar_platform.local.engines import LiveKitAddress
from tests.bench.live.rooms import token


def test_card_claim(livekit: LiveKitAddress, name: str, size: int) -> Claim:
    """Session and room are called `name`; the character is the test card at `size`²."""
    return claim_of(livekit, name, size, character="test-card", engine="test-card")


def claim_of(
    livekit: LiveKitAddress,
    name: str,
    size: int,
    *,
    character: str,
    engine: str,
    bundle_sha256: str = "",
) -> Claim:
    """Session and room are called `name`; pictures have `size`² pixels."""
    return Claim(
        session=name,
        epoch=1,
        livekit_url=livekit.url,
        room=name,
        token=token(livekit, name, "avatar", is_avatar=True),
        avatar_identity="avatar",
        agent_identity="agent",
        character=character,
        bundle_sha256=bundle_sha256,
        engine=engine,
        width=size,
        height=size,
    )
