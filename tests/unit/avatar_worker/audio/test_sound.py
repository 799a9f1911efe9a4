import wave

import numpy as np
import pytest

from avatar_worker.audio.errors import AudioFileError
from avatar_worker.audio.sound import read_sound
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


def write_wav(path, samples: np.ndarray, rate_hz: int) -> None:
    """int16 [n, n_channels]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.mark.parametrize(
    ("path", "voice"), [(mini.CROSS_WAV, "cross"), (mini.DATA / "aud.wav", "own")]
)
def test_sound_at_the_encoders_rate_is_read_exactly(path, voice):
    sound = read_sound(path)
    assert sound.rate_hz == 16_000
    np.testing.assert_array_equal(sound.mono(), mini.golden("audio")[f"{voice}_wav"])


def test_stereo_at_another_rate_is_mixed_and_resampled(tmp_path):
    t = np.arange(44_100) / 44_100
    tone = 12_000 * np.sin(2 * np.pi * 440 * t)
    write_wav(tmp_path / "stereo.wav", np.stack((tone, tone), axis=1), 44_100)
    mono = read_sound(tmp_path / "stereo.wav").mono()
    assert len(mono) == 16_000
    expected = 12_000 / 32_768 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(mono[500:-500], expected[500:-500], atol=1e-3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"no sound at all" * 99, "cannot be decoded as sound: [A-Z]"),
    ],
)
def test_what_is_no_sound_is_refused(tmp_path, content, sentence):
    path = tmp_path / "x.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioFileError, match=sentence):
        read_sound(path)


def test_a_folder_is_refused_as_sound(tmp_path):
    with pytest.raises(AudioFileError, match="is a folder; expected a sound file"):
        read_sound(tmp_path)


def test_a_file_without_samples_is_refused(tmp_path):
    write_wav(tmp_path / "none.wav", np.zeros((0, 1)), 16_000)
    with pytest.raises(AudioFileError):
        read_sound(tmp_path / "none.wav")


def test_a_picture_is_refused_as_sound():
    with pytest.raises(AudioFileError, match=r"holds no sound|cannot be decoded"):
        read_sound(mini.DATA / "bc.jpg")
