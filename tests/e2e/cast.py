"""An agent and an avatar in a real LiveKit room, played by the Python SDK for tests of the page.

They do what the workers do as far as a browser can tell: the avatar publishes picture and sound,
the agent keeps its state as an attribute and sends both sides' captions.
"""

import asyncio
import json
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar

import numpy as np
from livekit import api, rtc

from avatar_contracts.identities import (
    EVENTS_TOPIC,
    PUBLISH_ON_BEHALF,
    agent_identity,
    avatar_identity,
    visitor_identity,
)
from avatar_platform.local.engines import LiveKitAddress

FPS: Final = 25
SAMPLE_RATE_HZ: Final = 24_000
DEADLINE_S: Final = 20.0
T = TypeVar("T")


def plain_picture(size_px: int = 512) -> np.ndarray:
    """A plain warm picture with a darker disc, so that black can be told from it. [H, W, 3]"""
    y, x = np.mgrid[:size_px, :size_px] / size_px
    picture = np.empty((size_px, size_px, 3), np.uint8)
    picture[...] = (200, 170, 140)
    picture[np.hypot(x - 0.5, y - 0.45) < 0.25] = (120, 90, 70)
    return picture


class Cast:
    """Agent and avatar of one session's room, driven from a synchronous test."""

    def __init__(
        self, address: LiveKitAddress, session: str, room: str, picture: np.ndarray
    ) -> None:
        self.room_name = room
        self.session = session
        self.chats: list[str] = []
        self._address = address
        self._picture = picture
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._rooms: dict[str, rtc.Room] = {}
        self._publishing: asyncio.Task[None] | None = None
        self._reading: list[asyncio.Task[None]] = []
        self._thread.start()

    # --- called by tests ---

    def delete_room(self) -> None:
        self._run(self._delete_room())

    def agent_joins(self) -> None:
        self._run(self._agent_joins())

    def avatar_joins(self) -> None:
        """As in every epoch: under the same identity."""
        self._run(self._avatar_joins())

    def avatar_dies(self) -> None:
        """Its pictures stop, and then it is gone."""
        self._run(self._avatar_dies())

    def agent_state(self, state: str) -> None:
        self._run(self._agent.local_participant.set_attributes({"lk.agent.state": state}))

    def tell(self, event_type: str) -> None:
        """An event on the data topic, as the agent sends them."""
        body = {"event_id": "1", "event_type": event_type, "session_id": self.session}
        self._run(self._agent.local_participant.publish_data(json.dumps(body), topic=EVENTS_TOPIC))

    def avatar_says(self, segment: str, *deltas: str) -> None:
        self._run(self._stream(segment, deltas, None, {}))

    def visitor_is_heard(self, segment: str, text: str, *, final: bool) -> None:
        marks = {"lk.transcription_final": "true" if final else "false"}
        self._run(self._stream(segment, (text,), visitor_identity(self.session), marks))

    def visitor_publishes_sound(self) -> bool:
        visitor = self._agent.remote_participants.get(visitor_identity(self.session))
        kinds = [p.kind for p in visitor.track_publications.values()] if visitor else []
        return rtc.TrackKind.KIND_AUDIO in kinds

    def close(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    # --- in the loop ---

    @property
    def _agent(self) -> rtc.Room:
        return self._rooms["agent"]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    def _token(self, identity: str, attributes: dict[str, str]) -> str:
        grants = api.VideoGrants(room_join=True, room=self.room_name, can_update_own_metadata=True)
        token = api.AccessToken(self._address.api_key, self._address.api_secret)
        token = token.with_identity(identity).with_grants(grants).with_kind("agent")
        return token.with_attributes(attributes).with_ttl(timedelta(minutes=5)).to_jwt()

    async def _delete_room(self) -> None:
        http = self._address.url.replace("ws", "http", 1)
        async with api.LiveKitAPI(http, self._address.api_key, self._address.api_secret) as server:
            await server.room.delete_room(api.DeleteRoomRequest(room=self.room_name))

    async def _join(self, who: str, identity: str, attributes: dict[str, str]) -> rtc.Room:
        room = rtc.Room()
        await room.connect(self._address.url, self._token(identity, attributes))
        self._rooms[who] = room
        return room

    async def _agent_joins(self) -> None:
        room = await self._join(
            "agent", agent_identity(self.session), {"lk.agent.state": "listening"}
        )
        # The agent hears its own captions of no interest; without a handler each is logged.
        room.register_text_stream_handler("lk.transcription", lambda reader, _: None)

        def on_chat(reader: rtc.TextStreamReader, identity: str) -> None:
            self._reading.append(self._loop.create_task(self._keep_chat(reader)))

        room.register_text_stream_handler("lk.chat", on_chat)

    async def _keep_chat(self, reader: rtc.TextStreamReader) -> None:
        self.chats.append(await reader.read_all())

    async def _avatar_joins(self) -> None:
        behalf = {PUBLISH_ON_BEHALF: agent_identity(self.session), "synthetic": "true"}
        room = await self._join("avatar", avatar_identity(self.session), behalf)
        height, width = self._picture.shape[:2]
        video = rtc.VideoSource(width, height)
        audio = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=100)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA,
            simulcast=False,
            video_encoding=rtc.VideoEncoding(max_bitrate=1_500_000, max_framerate=FPS),
        )
        camera = rtc.LocalVideoTrack.create_video_track("avatar", video)
        await room.local_participant.publish_track(camera, options)
        voice = rtc.LocalAudioTrack.create_audio_track("voice", audio)
        await room.local_participant.publish_track(
            voice, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        )
        self._publishing = asyncio.create_task(self._publish(video, audio))

    async def _publish(self, video: rtc.VideoSource, audio: rtc.AudioSource) -> None:
        """25 pictures a second, each slightly different, and a soft tone; the sound paces."""
        samples = SAMPLE_RATE_HZ // FPS
        tone = np.sin(np.arange(samples) * 2 * np.pi * 440 / SAMPLE_RATE_HZ) * 2000
        pcm = tone.astype(np.int16).tobytes()
        height, width = self._picture.shape[:2]
        number = 0
        while True:
            number += 1
            picture = self._picture.copy()
            picture[-6:, : number * 4 % width] = 255
            rgba = np.dstack([picture, np.full((height, width), 255, np.uint8)])
            frame = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, rgba.tobytes())
            video.capture_frame(frame)
            await audio.capture_frame(rtc.AudioFrame(pcm, SAMPLE_RATE_HZ, 1, samples))

    async def _avatar_dies(self) -> None:
        await self._stop_publishing()
        await self._rooms.pop("avatar").disconnect()

    async def _stop_publishing(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)
            self._publishing = None

    async def _stream(
        self, segment: str, deltas: tuple[str, ...], sender: str | None, marks: dict[str, str]
    ) -> None:
        writer = await self._agent.local_participant.stream_text(
            topic="lk.transcription",
            attributes={"lk.segment_id": segment, **marks},
            sender_identity=sender,
        )
        for delta in deltas:
            await writer.write(delta)
        await writer.aclose()

    async def _close(self) -> None:
        await self._stop_publishing()
        for room in self._rooms.values():
            await room.disconnect()
