import numpy as np
import pytest

from avatar_worker.audio.features import AudioFeatureStream, whole_file
from avatar_worker.audio.mel import log_mel
from avatar_worker.audio.window import frame_count
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

WHOLE_VOICE = mini.golden("audio")["cross_wav"]
VOICE = WHOLE_VOICE[5000:14_300]
"""14.5 frames: enough for every edge, short enough for many cuts."""


def cuts() -> dict[str, list[int]]:
    """Ten ways to cut the voice: name → lengths of the pieces."""
    rng = np.random.default_rng(11)
    n = len(VOICE)

    def even(length: int) -> list[int]:
        return [length] * (n // length) + [n % length]

    random = rng.integers(1, 3000, 40).tolist()
    return {
        "all at once": [n],
        "sevens": even(7),
        "hops": even(200),
        "frames": even(640),
        "two frames": even(1280),
        "two frames and one": even(1281),
        "80 ms at 24 kHz": even(1920),
        "long": even(4999),
        "random": random,
        "with nothing between": [0, 500, 0, 0, 6000, 0, n - 6500, 0],
    }


def cut_vectors(lengths: list[int], edges: str) -> list[np.ndarray]:
    stream = AudioFeatureStream(mini.audio_model(), edges)
    found, start = [], 0
    for length in lengths:
        found += stream.push(VOICE[start : start + length])
        start += length
    found += stream.push(VOICE[start:])
    return found + stream.flush()


@pytest.mark.parametrize("edges", ["file", "silence"])
@pytest.mark.parametrize("name", sorted(cuts()))
def test_vectors_do_not_depend_on_how_the_voice_is_cut(name, edges):
    whole = cut_vectors([len(VOICE)], edges)
    assert np.array_equal(cut_vectors(cuts()[name], edges), whole)


def test_a_whole_file_gives_the_vectors_of_the_original():
    found = whole_file(mini.audio_model(), WHOLE_VOICE)
    np.testing.assert_allclose(found, mini.golden("audio")["cross_enc_a"], atol=1e-4)


@pytest.mark.parametrize("n_samples", [0, 1, 639, 640, 641, 2999, 3000, 5000])
def test_every_length_has_its_number_of_frames(n_samples):
    for edges, expected in (("file", frame_count(n_samples)), ("silence", -(-n_samples // 640))):
        stream = AudioFeatureStream(mini.audio_model(), edges)
        found = stream.push(VOICE[:n_samples]) + stream.flush()
        assert len(found) == expected == stream.n_frames


def test_inside_a_segment_both_edges_agree():
    between_silences = cut_vectors([len(VOICE)], "silence")
    as_a_file = cut_vectors([len(VOICE)], "file")
    # 9,300 samples: 47 columns, 11 windows; window 10 is moved back, hence feature 12 differs,
    # which frame 9 is the first to see. Features 0 and 1 are repeated: frames 0 … 5 see them.
    assert np.array_equal(between_silences[6:9], as_a_file[6:9])
    assert not np.array_equal(between_silences[0], as_a_file[0])


def test_a_segment_between_silences_is_the_middle_of_a_file_with_silence_around():
    n_silent = mini.audio_model().lead_in().silent_frames
    silence = np.zeros(n_silent * 640, np.float32)
    padded = whole_file(mini.audio_model(), np.concatenate((silence, VOICE, silence)))
    found = cut_vectors([len(VOICE)], "silence")
    assert np.array_equal(found, padded[n_silent : n_silent + len(found)])


def test_lasting_silence_has_the_vector_of_silence():
    stream = AudioFeatureStream(mini.audio_model(), "silence")
    found = stream.push(np.zeros(16_000, np.float32)) + stream.flush()
    assert len(found) == 25
    for vector in found:
        assert np.array_equal(vector, mini.audio_model().silence())


def test_a_vector_comes_as_soon_as_its_sound_is_there():
    stream = AudioFeatureStream(mini.audio_model(), "silence")
    given = 0
    for start in range(0, 9200, 40):
        given += len(stream.push(VOICE[start : start + 40]))
        heard = start + 40
        # Frame k is certain once (k · 640) + 4040 samples are there, at the latest.
        assert given >= max(0, (heard - 4040) // 640 + 1)


def test_memory_does_not_grow_with_the_sound():
    stream = AudioFeatureStream(mini.audio_model(), "file")
    sizes = []
    for _ in range(12):
        stream.push(WHOLE_VOICE[:6400])
        progress, mel = stream._progress, stream._progress._features
        sizes.append((mel._columns.size, len(progress._steps), mel._mel._pending.size))
    assert max(size[0] for size in sizes) <= 80 * 64
    assert max(size[1] for size in sizes) <= 16
    assert max(size[2] for size in sizes) < 800


def test_streams_of_one_model_do_not_disturb_each_other():
    first = AudioFeatureStream(mini.audio_model(), "silence")
    second = AudioFeatureStream(mini.audio_model(), "silence")
    found = []
    for start in range(0, len(VOICE), 1280):
        found += first.push(VOICE[start : start + 1280])
        second.push(np.ones(1280, np.float32) * 0.3)
    assert np.array_equal(found + first.flush(), cut_vectors([len(VOICE)], "silence"))


def test_the_mel_of_lasting_silence_is_flat():
    assert np.ptp(log_mel(np.zeros(3200))) == 0.0
