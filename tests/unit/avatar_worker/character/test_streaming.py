import numpy as np
import pytest

from avatar_worker.audio.errors import EncoderError, FeatureError
from avatar_worker.audio.window import frame_count
from avatar_worker.render.errors import RenderError, UnsupportedCharacterError
from avatar_worker.render.renderer import FrameRequest
from avatar_worker.streaming import StreamingInference
from avatar_worker.trained import open_trained
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

VOICE = mini.golden("audio")["cross_wav"][:12_000]


class Fingerprints:
    """Stands in for a renderer: a picture of one pixel that tells all it was asked for."""

    def render(self, frame: FrameRequest) -> np.ndarray:
        asked = frame.enc_a.tobytes() + bytes([frame.pose_index])
        return np.frombuffer(asked, np.uint8)


@pytest.fixture(scope="module")
def character():
    trained = open_trained(mini.DATA, mini.WORKSPACE)
    return trained.character(portrait=True, audio=mini.audio_model())


def streamed(character, lengths: list[int]) -> list[bytes]:
    inference = StreamingInference.from_character(character, renderer=Fingerprints())
    pictures, start = [], 0
    for length in lengths:
        pictures += inference.process_audio_chunk(VOICE[start : start + length])
        start += length
    pictures += inference.process_audio_chunk(VOICE[start:]) + inference.flush()
    return [picture.tobytes() for picture in pictures]


@pytest.mark.parametrize("length", [1, 160, 333, 640, 1280, 1281, 2000, 4096, 10_000, 30_000])
def test_pictures_do_not_depend_on_how_the_sound_is_cut(character, length):
    n_pieces = min(len(VOICE) // length, 2000)  # single samples: the first 2,000, then the rest
    whole = streamed(character, [])
    assert len(whole) == frame_count(12_000)
    assert streamed(character, [length] * n_pieces) == whole


def test_streamed_pictures_are_those_of_the_original():
    inference = StreamingInference(
        mini.DATA,
        mini.WORKSPACE,
        W=128,
        H=128,
        device="cpu",
        precision="fp32",
        encoder=mini.ENCODER,
    )
    reference = mini.golden("cross")
    pictures = inference.process_audio_chunk(VOICE[:6000])
    # 6,000 samples are enough for frames 0 … 3: (6000 − 4040) // 640 + 1.
    assert len(pictures) == 4
    rows = {int(f): row for row, f in enumerate(reference["portrait_index"])}
    mini.assert_reference_quality(pictures[0], reference["portrait_uint8"][rows[0]])


def test_the_pose_track_goes_on_over_segments_until_everything_is_forgotten(character):
    inference = StreamingInference.from_character(character, renderer=Fingerprints())
    first = inference.process_audio_chunk(VOICE[:5000]) + inference.flush()
    second = inference.process_audio_chunk(VOICE[:5000]) + inference.flush()
    assert inference.n_drawn == len(first) + len(second)
    # The same sound again: the same mouth at other poses.
    assert [p[:-1].tobytes() for p in first] == [p[:-1].tobytes() for p in second]
    assert first[0][-1] == 0
    assert second[0][-1] != 0
    inference.process_audio_chunk(VOICE[:5000])
    inference.reset_streaming_buffers()
    again = inference.process_audio_chunk(VOICE[:5000]) + inference.flush()
    assert [p.tobytes() for p in again] == [p.tobytes() for p in first]


def test_nothing_said_gives_no_pictures(character):
    inference = StreamingInference.from_character(character, renderer=Fingerprints())
    assert inference.process_audio_chunk(np.zeros(0, np.float32)) == []
    assert inference.flush() == []


@pytest.mark.parametrize("chunk", [np.zeros(640, np.int16), np.zeros((2, 640), np.float32)])
def test_other_samples_than_float_mono_are_refused(character, chunk):
    inference = StreamingInference.from_character(character, renderer=Fingerprints())
    with pytest.raises(FeatureError, match="float32"):
        inference.process_audio_chunk(chunk)


def test_other_rates_than_25_and_the_torso_are_refused():
    with pytest.raises(UnsupportedCharacterError, match="30 frames a second"):
        StreamingInference(mini.DATA, mini.WORKSPACE, fps=30)
    with pytest.raises(UnsupportedCharacterError, match="torso"):
        StreamingInference(mini.DATA, mini.WORKSPACE, torso=True)


def test_absent_files_are_refused_with_their_names(tmp_path):
    with pytest.raises(RenderError, match="checkpoints"):
        StreamingInference(mini.DATA, tmp_path)
    with pytest.raises(RenderError, match="does not exist"):
        StreamingInference(tmp_path / "nobody", mini.WORKSPACE)
    with pytest.raises(EncoderError, match=r"nowhere\.pth"):
        StreamingInference(mini.DATA, mini.WORKSPACE, encoder=tmp_path / "nowhere.pth")
