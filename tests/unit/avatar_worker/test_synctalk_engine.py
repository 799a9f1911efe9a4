"""Our renderer behind the live interface: heard at 24 kHz, drawn by frame, idle in between."""

from dataclasses import replace

import numpy as np
import pytest
import soxr

from avatar_contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from avatar_worker.audio.features import AudioFeatureStream
from avatar_worker.character import Character
from avatar_worker.drawing import FRAME_S, Drawing, Picture
from avatar_worker.engines.base import EngineError, FrameRequest, OptionError
from avatar_worker.engines.idle_walk import WalkPosition
from avatar_worker.engines.synctalk import SyncTalkEngine, SyncTalkHearing
from avatar_worker.render.motion import scene_between
from avatar_worker.render.renderer import FrameRequest as RenderRequest
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

SPEECH_16K = mini.golden("audio")["cross_wav"][:16_000]
SPEECH = soxr.resample(SPEECH_16K, 16_000, SAMPLE_RATE_HZ).astype(np.float32)


class Asked:
    """Stands in for the renderer: remembers what it was asked for."""

    def __init__(self) -> None:
        self.requests: list[RenderRequest] = []

    def render_all(self, requests: list[RenderRequest]) -> list[np.ndarray]:
        self.requests.extend(requests)
        return [np.zeros((4, 4, 3), np.uint8) for _ in requests]


@pytest.fixture(scope="module")
def character() -> Character:
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    return trained.character(portrait=True, audio=mini.audio_model())


@pytest.fixture
def engine(character, monkeypatch) -> SyncTalkEngine:
    asked = Asked()
    monkeypatch.setattr(Character, "renderer", lambda *_, **__: asked)
    return SyncTalkEngine(character, device="cpu", threads=1)


def hearing_of(engine: SyncTalkEngine, cuts: list[int]) -> SyncTalkHearing:
    hearing = engine.open({}).listen()
    for piece in np.split(SPEECH, cuts):
        hearing.push(piece)
    hearing.finish()
    return hearing


def shown_with(drawing: Drawing, speech: np.ndarray, slots: int) -> dict[int, FrameRequest]:
    """What is asked for in each slot of a session that is idle, says this, and is idle again."""
    requests: dict[int, FrameRequest] = {}
    for slot in range(slots):
        now = (slot - 0.5) * FRAME_S
        if slot == 3:
            drawing.hear(1, speech)
            drawing.end(1)
        while (offer := drawing.offer(now)) is not None and offer.at <= now:
            if offer.listen_to is not None:
                drawing.listen(offer.listen_to)
            else:
                picture = Picture(offer.request, np.zeros((6, 4), np.uint8))
                drawing.accept(offer, picture, 0.0)
        if slot == 3:
            drawing.start(1, 0, now)
        picture = drawing.take(slot)
        assert picture is not None
        requests[slot] = picture.request
    return requests


def test_a_segment_has_one_vector_for_each_40_ms_however_it_was_cut(engine) -> None:
    whole = hearing_of(engine, [])
    assert whole.frames == -(-len(SPEECH) // FRAME_SAMPLES)
    cut = hearing_of(engine, [1920, 1921, 5000, 9600])
    assert np.array_equal(np.stack(whole.vectors), np.stack(cut.vectors))


def test_the_vectors_are_those_of_the_sound_at_16_khz(engine, character) -> None:
    stream = AudioFeatureStream(character.audio, "silence")
    heard = soxr.resample(SPEECH, SAMPLE_RATE_HZ, 16_000).astype(np.float32)
    expected = np.stack(stream.push(heard) + stream.flush())
    got = np.stack(hearing_of(engine, []).vectors)
    assert np.abs(got - expected[: len(got)]).max() < 1e-3


def test_certain_pictures_never_run_ahead_of_the_look_ahead(engine) -> None:
    hearing = engine.open({}).listen()
    for n in range(1, 12):
        hearing.push(SPEECH[(n - 1) * 1920 : n * 1920])
        # 252.5 ms of look-ahead, and what the resampler holds back
        assert hearing.frames <= max(0, (n * 1920 - 6060) // FRAME_SAMPLES + 1)
    assert hearing.frames >= (11 * 1920 - 6060) // FRAME_SAMPLES - 1


def test_idle_pictures_show_lasting_silence_and_the_pose_track_goes_on(engine, character) -> None:
    face = engine.open({})
    engine.draw([(face, FrameRequest(slot)) for slot in (0, 1, 2)])
    asked = engine._renderer.requests
    assert all(np.array_equal(r.enc_a, character.audio.silence()) for r in asked)
    places = [engine._walk(slot) for slot in (0, 1, 2)]
    assert [r.pose_index for r in asked] == [at.index for at in places]
    assert all(r.eye is None for r in asked)  # brows and lids are the scenes' own


def test_speech_is_blended_in_by_its_weight(engine, character) -> None:
    face = engine.open({})
    hearing = hearing_of(engine, [])
    for weight in (0.0, 0.5, 1.0):
        engine.draw([(face, FrameRequest(7, hearing, 9, weight))])
    silent, half, full = (r.enc_a for r in engine._renderer.requests)
    assert np.allclose(silent, character.audio.silence())
    assert np.allclose(full, hearing.vectors[9])
    assert np.allclose(half, (silent + full) / 2, atol=1e-6)


def test_a_place_between_two_frames_is_drawn_as_a_scene_of_its_own(engine, character) -> None:
    engine._walk = lambda _: WalkPosition(2, 0.25)
    engine.draw([(engine.open({}), FrameRequest(0))])
    (asked,) = engine._renderer.requests
    a, b = character.scenes.scene(2), character.scenes.scene(3)
    np.testing.assert_array_equal(asked.scene.original, scene_between(a, b, 0.25).original)


def test_room_noise_leaves_the_mouth_exactly_at_rest(engine, character) -> None:
    # Noise at −50 dB drove the lips: vectors up to a third of speech away from silence.
    noise = np.random.default_rng(1).standard_normal(2 * SAMPLE_RATE_HZ) * 10 ** (-50 / 20)
    hearing = engine.open({}).listen()
    hearing.push(noise.astype(np.float32))
    hearing.finish()
    assert hearing.frames == 50
    rest = character.audio.silence()
    assert all(np.array_equal(vector, rest) for vector in hearing.vectors)


def test_speech_opens_and_closes_the_mouth_in_steps(engine, character) -> None:
    rest = character.audio.silence()
    drawing = Drawing(
        engine,
        engine.open({}),
        time_of_slot=lambda slot: slot * FRAME_S,
        on_ready=lambda: None,
        wake=lambda: None,
    )
    speech = SPEECH[: 10 * FRAME_SAMPLES]  # loud from its first to its last sample
    requests = shown_with(drawing, speech, slots=20)
    spoken = [slot for slot, r in requests.items() if r.is_sounding]
    assert len(spoken) == 10
    engine._renderer.requests.clear()
    engine.draw([(drawing.face, request) for request in requests.values()])
    open_by = dict(zip(requests, [r.enc_a - rest for r in engine._renderer.requests], strict=True))
    hearing = requests[spoken[0]].hearing
    heard = [vector - rest for vector in hearing.vectors]
    assert np.array_equal(open_by[spoken[0] - 1], np.zeros(32))
    for step, frame in ((1, 0), (2, 1), (3, 2)):
        np.testing.assert_allclose(open_by[spoken[frame]], heard[frame] * step / 3, atol=1e-5)
    for left, after in ((3, 1), (2, 2), (1, 3), (0, 4)):
        closing = open_by[spoken[-1] + after]
        np.testing.assert_allclose(closing, heard[-1] * left / 4, atol=1e-5)
    # so nothing changes faster where speech begins and ends than it does within
    sizes = [np.linalg.norm(open_by[slot + 1] - open_by[slot]) for slot in sorted(open_by)[:-1]]
    begin, end = spoken[0] - min(open_by), spoken[-1] - min(open_by)
    assert max(*sizes[: begin + 2], *sizes[end:]) <= max(sizes[begin + 2 : end])


def test_a_session_may_move_brows_and_lids_differently_from_the_character(character) -> None:
    engine = SyncTalkEngine(
        replace(character, options={**character.options, "preset": "attentive"}),
        device="cpu",
        threads=1,
    )
    own, other = engine.open({}), engine.open({"preset": "serious"})
    slot, at = 3, engine._walk(3)
    assert own.expression(slot, at)[2] > other.expression(slot, at)[2]  # inner brows
    assert engine.open({"preset": "neutral"}).expression(slot, at) is None
    with pytest.raises(OptionError, match="expected one of neutral"):
        engine.open({"preset": "furious"})
    with pytest.raises(OptionError, match="there is no option 'blinkrate'"):
        engine.open({"blinkrate": 3})


def test_sessions_that_want_the_same_blend_share_its_scenes_until_the_last_is_gone(
    engine, character
) -> None:
    own, wide, also_wide = (engine.open(o) for o in ({}, {"blend_width": 8}, {"blend_width": 8.0}))
    engine.draw([(face, FrameRequest(0)) for face in (own, wide, also_wide)])
    plain, first, second = (r.scene for r in engine._renderer.requests)
    assert plain is character.scenes.scene(engine._walk(0).index)
    assert first is second
    assert (first.mask > plain.mask).any()
    assert len(engine._styled) == 2
    del wide, also_wide
    assert len(engine._styled) == 1


def test_a_session_may_stand_before_a_colour(monkeypatch) -> None:
    monkeypatch.setattr(Character, "renderer", lambda *_, **__: Asked())
    whole = open_trained(mini.DATA, mini.WORKSPACE).character(
        portrait=False, audio=mini.audio_model()
    )
    engine = SyncTalkEngine(whole, device="cpu", threads=1)
    engine.draw([(engine.open(o), FrameRequest(0)) for o in ({}, {"background": "#00b140"})])
    own, green = (request.scene.background for request in engine._renderer.requests)
    assert (green == (0, 177, 64)).all(axis=2).any()
    assert not np.array_equal(own, green)
    with pytest.raises(OptionError, match="expected a colour"):
        engine.open({"background": "beach.jpg"})


def test_a_blend_is_refused_where_there_is_no_portrait(character) -> None:
    whole = open_trained(mini.DATA, mini.WORKSPACE).character(
        portrait=False, audio=mini.audio_model()
    )
    with pytest.raises(OptionError, match="blend_width is for portraits"):
        SyncTalkEngine(whole, device="cpu", threads=1).open({"blend_width": 4})


def test_a_colour_behind_a_portrait_is_refused(engine) -> None:
    with pytest.raises(OptionError, match="background is not for portraits"):
        engine.open({"background": "#00b140"})


def test_options_that_cannot_be_are_refused_when_the_character_is_loaded(character) -> None:
    wrong = replace(character, options={"blink_rate": "often"})
    with pytest.raises(EngineError, match="blink_rate is 'often'") as refused:
        SyncTalkEngine(wrong, device="cpu", threads=1)
    assert not isinstance(refused.value, OptionError)  # no session asked for it


def test_a_character_without_ears_is_refused() -> None:
    with pytest.raises(EngineError, match="driven by sound"):
        SyncTalkEngine(Character("card", "test-card", 64, 64), device="cpu", threads=1)
