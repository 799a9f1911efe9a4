"""`python -m agent_worker` in a real room: joins, greets, listens, answers, stops, leaves."""

import asyncio
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from livekit import api

from agent_worker.echo import LOUD_RMS
from agent_worker.speech.kept import KeptSpeech, content_key
from agent_worker.speech.voices import load_voice
from avatar_contracts.identities import agent_identity
from avatar_contracts.messages import (
    AvatarAssignedCommand,
    EndCommand,
    InterruptCommand,
    SayCommand,
)
from avatar_contracts.states import SessionMode
from tests.integration.agent_worker.conftest import CACHE, StartWorker, World
from tests.unit.agent_worker.cast import mira
from tests.unit.agent_worker.speech import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PRICE = "A ticket costs eight euros. Children come in free."


def spoken(text: str, voice: str) -> bytes:
    """A visitor's question in another voice than the avatar's; kept between runs."""
    kept = KeptSpeech(CACHE / "test-speech" / "speech")
    key = content_key(load_voice(voice).identity, text, 1.0)
    pcm = kept.get(key)
    if pcm is None:
        pcm = load_voice(voice).speak(text)
        kept.put(key, pcm)
    return pcm.tobytes()


def events(raw: list[str]) -> list[str]:
    return [json.loads(event)["event_type"] for event in raw]


async def test_a_conversation_from_dispatch_to_end(
    world: World, start_worker: StartWorker, tmp_path: Path
) -> None:
    question = spoken("How much is a ticket?", "kokoro:am_michael")
    await start_worker()
    session, room = await world.session(mira())
    kinds = world.platform.kinds
    visitor = await world.visitor(session, room)
    avatar = await world.avatar(session, ready=False)
    await world.dispatch(session, room)
    await until(lambda: "user.joined" in kinds(session), 15)
    assert kinds(session)[0] == "agent.joined"

    await asyncio.sleep(0.5)
    assert not avatar.segments, "greeted before there was a face"
    await avatar.become_ready()
    await until(lambda: "avatar.transcription" in kinds(session), 60)
    assert avatar.segments[1].finished == [False]

    before = max(avatar.segments)
    silence = bytes(2 * 24_000)
    await visitor.speak(silence + question)
    await until(lambda: max(avatar.segments) > before, 20)
    first_chunk_s = asyncio.get_running_loop().time() - visitor.stopped_at_s
    print(f"end of speech -> first chunk in Redis: {first_chunk_s:.2f} s")
    await until(lambda: kinds(session).count("avatar.transcription") == 2, 30)
    texts = {
        report.kind: report.data["text"]
        for report in world.platform.of(session)
        if report.kind.endswith("transcription")
    }
    assert "ticket" in str(texts["user.transcription"]).lower()
    assert texts["avatar.transcription"] == PRICE
    latencies = {
        report.data["name"]: report.data["ms"]
        for report in world.platform.of(session)
        if report.kind == "latency"
    }
    print(latencies)
    assert {"answer_ms", "stt_ms", "llm_ms", "tts_ms"} <= set(latencies)
    await until(lambda: "avatar.transcription" in events(visitor.events))
    assert {"avatar.speak_started", "user.speak_started", "user.transcription"} <= set(
        events(visitor.events)
    )

    await world.command(session, EndCommand())
    await until(lambda: "agent.left" in kinds(session), 20)
    log = (tmp_path / "worker.log").read_text()
    assert "eight euros" not in log
    assert "ticket" not in log.lower()


async def test_say_and_interrupt_reach_the_avatar(world: World, start_worker: StartWorker) -> None:
    await start_worker()
    session, room = await world.session(mira(greeting=""))
    visitor = await world.visitor(session, room)
    avatar = await world.avatar(session)
    await world.dispatch(session, room)
    await until(lambda: "agent.joined" in world.platform.kinds(session), 15)
    line = "This is a rather long line that somebody wanted to be said by the avatar, verbatim."
    await world.command(session, SayCommand(line))
    await until(lambda: avatar.segments and avatar.segments[1].played_samples > 12_000, 60)
    await world.command(session, InterruptCommand())
    await until(lambda: avatar.segments[1].finished == [True], 5)
    await visitor.room.local_participant.send_text("When do you close?", topic="lk.chat")
    await until(lambda: max(avatar.segments) > 1 and avatar.segments[2].finished, 60)
    said = [
        report.data["text"]
        for report in world.platform.of(session)
        if report.kind == "avatar.transcription"
    ]
    assert line.startswith(str(said[0]).strip())
    assert len(str(said[0])) < len(line)
    await until(
        lambda: (
            [
                report.data["text"]
                for report in world.platform.of(session)
                if report.kind == "avatar.transcription"
            ][-1]
            == "We are open every day from ten to six."
        )
    )


async def test_the_visitor_interrupts_by_speaking(world: World, start_worker: StartWorker) -> None:
    barge_in = spoken("Stop, please. How much is a ticket?", "kokoro:am_michael")
    await start_worker()
    session, room = await world.session(mira(greeting=""))
    visitor = await world.visitor(session, room)
    avatar = await world.avatar(session)
    await world.dispatch(session, room)
    await until(lambda: "user.joined" in world.platform.kinds(session), 15)
    await world.command(session, SayCommand("One two three four five six seven eight. " * 6))
    await until(lambda: avatar.segments and avatar.segments[1].played_samples > 24_000, 60)
    await visitor.speak(barge_in)
    await until(lambda: avatar.segments[1].finished, 10)
    assert avatar.segments[1].finished == [True]
    assert avatar.clears[0] == 1


async def test_a_killed_avatar_is_replaced_within_one_and_a_half_seconds(
    world: World, start_worker: StartWorker
) -> None:
    await start_worker()
    session, room = await world.session(mira(greeting=""))
    visitor = await world.visitor(session, room)
    avatar = await world.avatar(session)
    await world.dispatch(session, room)
    await until(lambda: "user.joined" in world.platform.kinds(session), 15)
    await world.command(session, SayCommand("One two three four five six seven eight. " * 6))
    await until(lambda: avatar.segments and avatar.segments[1].played_samples > 24_000, 60)
    await avatar.die()
    died_s = asyncio.get_running_loop().time()
    await until(lambda: _is_loud(visitor.heard_from_agent), 5)
    gap_s = asyncio.get_running_loop().time() - died_s
    print(f"avatar killed -> the agent's own voice at the visitor: {gap_s:.2f} s")
    assert gap_s < 3.0  # 1.5 s on a quiet machine
    await world.command(session, AvatarAssignedCommand(2))
    second = await world.avatar(session, epoch=2)
    await until(lambda: second.segments and second.segments[1].finished == [False], 60)
    await until(lambda: "avatar.speak_ended" in world.platform.kinds(session))
    ended = [r for r in world.platform.of(session) if r.kind == "avatar.speak_ended"]
    assert [report.data["interrupted"] for report in ended] == [False]
    assert ended[0].epoch == 2


def _is_loud(pcm: bytearray) -> bool:
    samples = np.frombuffer(bytes(pcm), dtype=np.int16)
    return bool(len(samples)) and int(np.abs(samples).max()) > 1000


async def test_echo_repeats_the_visitor(world: World, start_worker: StartWorker) -> None:
    words = np.frombuffer(spoken("How much is a ticket?", "kokoro:am_michael"), dtype=np.int16)
    await start_worker()
    session, room = await world.session(mira(), SessionMode.ECHO)
    visitor = await world.visitor(session, room)
    avatar = await world.avatar(session)
    await world.dispatch(session, room)
    await until(lambda: "user.joined" in world.platform.kinds(session), 15)
    await visitor.speak(bytes(24_000) + words.tobytes() + bytes(2 * 24_000))
    await until(lambda: avatar.segments and avatar.segments[1].finished, 15)
    repeated = np.frombuffer(bytes(avatar.segments[1].received), dtype=np.int16)
    first, last = _loud_span(words)
    # from 200 ms before the first loud sample to 300 ms of quiet after the last, give or take the
    # codec's idea of loud
    assert len(repeated) / 24_000 == pytest.approx((last - first) / 24_000 + 0.5, abs=0.15)
    # WebRTC's codec changes samples, not loudness
    energy = [float(np.sum(x.astype(float) ** 2)) for x in (words, repeated)]
    assert 0.5 < energy[1] / energy[0] < 1.5


def _loud_span(samples: np.ndarray) -> tuple[int, int]:
    """First and last sample of the 10 ms blocks that the gate calls loud."""
    blocks = samples[: len(samples) // 240 * 240].reshape(-1, 240).astype(float)
    loud = np.flatnonzero(np.sqrt((blocks**2).mean(axis=1)) / 32768 >= LOUD_RMS)
    return int(loud[0]) * 240, int(loud[-1] + 1) * 240


async def test_sigterm_lets_a_conversation_end_and_then_the_process(
    world: World, start_worker: StartWorker
) -> None:
    process = await start_worker(AGENT_DRAIN_S="30")
    session, room = await world.session(mira(greeting=""))
    await world.visitor(session, room)
    await world.avatar(session)
    await world.dispatch(session, room)
    await until(lambda: "agent.joined" in world.platform.kinds(session), 15)
    process.send_signal(signal.SIGTERM)
    await asyncio.sleep(1.0)
    assert process.returncode is None
    listed = await world.lk.room.list_participants(api.ListParticipantsRequest(room=room))
    assert agent_identity(session) in {p.identity for p in listed.participants}
    await world.lk.room.delete_room(api.DeleteRoomRequest(room=room))
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert "agent.left" in world.platform.kinds(session)


async def test_a_session_that_is_over_is_not_joined(
    world: World, start_worker: StartWorker
) -> None:
    await start_worker()
    session, room = await world.session(mira())
    del world.platform.conversations[session]
    await world.dispatch(session, room)
    await asyncio.sleep(2)
    listed = await world.lk.room.list_participants(api.ListParticipantsRequest(room=room))
    assert list(listed.participants) == []
