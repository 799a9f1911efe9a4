"""The avatar as a participant of a room: one sound track, one picture track."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import structlog
from livekit import rtc

from avatar_contracts.audio import BYTES_PER_SAMPLE, SAMPLE_RATE_HZ, VIDEO_FPS
from avatar_worker.config import VideoCodec
from avatar_worker.drawing import Picture
from avatar_worker.playout import SOUND_QUEUE_MS

CONNECT_TIMEOUT_S: Final = 10.0
LEAVE_TIMEOUT_S: Final = 3.0
SOUND_BITRATE: Final = 48_000
ENCODER_FPS: Final = 2 * VIDEO_FPS
"""Speech moves the picture grid, so two pictures may be 20 ms apart; at 25 the encoder's own rate
limiter would drop one of them. We still hand over 25 a second."""

log = structlog.get_logger()


class LeftReason(StrEnum):
    """Why the room was left."""

    EVICTED = "evicted"
    """The same identity joined: another epoch is the avatar now. Never join again."""
    ROOM_GONE = "room_gone"
    """The room was deleted or we were removed from it: the session is over."""
    CONNECTION_LOST = "connection_lost"
    """The SDK gave up reconnecting."""


class PublishError(RuntimeError):
    """The room cannot be joined or the tracks not published; the text says which."""


def _left_reason(reason: "rtc.DisconnectReason.ValueType") -> LeftReason:
    if reason == rtc.DisconnectReason.DUPLICATE_IDENTITY:
        return LeftReason.EVICTED
    gone = (
        rtc.DisconnectReason.ROOM_DELETED,
        rtc.DisconnectReason.ROOM_CLOSED,
        rtc.DisconnectReason.PARTICIPANT_REMOVED,
    )
    return LeftReason.ROOM_GONE if reason in gone else LeftReason.CONNECTION_LOST


class Publisher:
    """Joins, publishes, and takes sound and pictures (an `Outlet` for the playout).

    `on_left` is called once, on the loop, when the room is lost for good; not after `aclose`.
    """

    def __init__(
        self,
        *,
        width: int,
        height: int,
        codec: VideoCodec,
        video_bitrate: int,
        on_left: Callable[[LeftReason], None],
    ) -> None:
        if width % 2 or height % 2:
            raise PublishError(f"pictures must have even sides, not {width} × {height}")
        self._width, self._height = width, height
        self._codec = codec
        self._video_bitrate = video_bitrate
        self._on_left = on_left
        self._room = rtc.Room()
        self._sound: rtc.AudioSource | None = None
        self._pictures: rtc.VideoSource | None = None
        self._is_closed = False

    async def join(self, url: str, token: str) -> None:
        """Connect and publish both tracks.

        Raises:
            PublishError: it did not work within 10 s.
        """
        self._room.on("disconnected", self._handle_disconnected)
        options = rtc.RoomOptions(auto_subscribe=False, connect_timeout=CONNECT_TIMEOUT_S / 2)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._room.connect(url, token, options)
                await self._publish()
        except TimeoutError:
            raise PublishError(
                f"the room was not joined within {CONNECT_TIMEOUT_S:.0f} s"
            ) from None
        except (
            rtc.ConnectError,
            rtc.participant.PublishTrackError,
        ) as error:
            raise PublishError(f"the room could not be joined: {error}") from error

    async def push(self, pcm: bytes) -> None:
        assert self._sound is not None, "join first"
        samples = len(pcm) // BYTES_PER_SAMPLE
        await self._sound.capture_frame(rtc.AudioFrame(pcm, SAMPLE_RATE_HZ, 1, samples))

    def clear(self) -> None:
        assert self._sound is not None, "join first"
        self._sound.clear_queue()

    def show(self, picture: Picture) -> None:
        assert self._pictures is not None, "join first"
        frame = rtc.VideoFrame(
            self._width, self._height, rtc.VideoBufferType.I420, picture.i420.reshape(-1).data
        )
        self._pictures.capture_frame(frame)

    async def aclose(self) -> None:
        """Leave the room. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._room.disconnect()
        except TimeoutError:
            log.warning("leaving the room took too long")
        for source in (self._sound, self._pictures):
            if source is not None:
                await source.aclose()

    async def _publish(self) -> None:
        self._sound = rtc.AudioSource(SAMPLE_RATE_HZ, 1, queue_size_ms=SOUND_QUEUE_MS)
        self._pictures = rtc.VideoSource(self._width, self._height)
        sound = rtc.LocalAudioTrack.create_audio_track("avatar-sound", self._sound)
        pictures = rtc.LocalVideoTrack.create_video_track("avatar-picture", self._pictures)
        me = self._room.local_participant
        await asyncio.gather(
            me.publish_track(sound, sound_options()),
            me.publish_track(pictures, picture_options(self._codec, self._video_bitrate)),
        )

    def _handle_disconnected(self, reason: "rtc.DisconnectReason.ValueType") -> None:
        if not self._is_closed:
            self._on_left(_left_reason(reason))


def sound_options() -> rtc.TrackPublishOptions:
    """DTX is off: a pausing track lets the listener's buffer drift, and clips syllables."""
    return rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_MICROPHONE,
        audio_encoding={"max_bitrate": SOUND_BITRATE},  # type: ignore[arg-type]  # not exported
        dtx=False,
        red=True,
    )


def picture_options(codec: VideoCodec, bitrate: int) -> rtc.TrackPublishOptions:
    """One layer for one viewer; LiveKit's defaults would cap 512² at 20 fps and 300 kbit/s.

    Under pressure the encoder gives up resolution and keeps every picture, for the lips' sake:
    `BALANCED` would go to 15 or 10 a second for half a minute after one busy moment.
    """
    return rtc.TrackPublishOptions(
        source=rtc.TrackSource.SOURCE_CAMERA,
        video_codec=rtc.VideoCodec.H264 if codec is VideoCodec.H264 else rtc.VideoCodec.VP8,
        video_encoding=rtc.VideoEncoding(max_bitrate=bitrate, max_framerate=ENCODER_FPS),
        simulcast=False,
        degradation_preference=rtc.DegradationPreference.MAINTAIN_FRAMERATE,  # type: ignore[arg-type]  # stub
    )
