import numpy as np
import pytest
import torch

from avatar_worker.render.field import HeadField
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def samples():
    reference = mini.golden("components")
    field = HeadField(mini.checkpoint().head(), torch.device("cpu"))
    with torch.inference_mode():
        return field(
            mini.tensor(reference["sample_xyz"]),
            mini.tensor(reference["sample_dir"]),
            mini.tensor(reference["sample_enc_a"]),
            mini.tensor(reference["sample_eye"]),
        )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("features", "enc_x"),
        ("audio_attention", "att_aud"),
        ("eye_attention", "att_eye"),
        ("geometry", "geo"),
        ("rgb", "color"),
    ],
)
def test_what_the_networks_say_is_what_the_original_says(samples, ours, theirs):
    expected = mini.golden("components")[f"sample_{theirs}"]
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(getattr(samples, ours), expected, atol=tolerance)


def test_densities_are_those_of_the_original(samples):
    expected = mini.golden("components")["sample_sigma"]
    np.testing.assert_allclose(samples.sigma, expected, rtol=2e-5)


@pytest.mark.parametrize("who", ["aud", "eye"])
def test_attention_norms_are_those_of_the_original(samples, who):
    attention = {"aud": samples.audio_attention, "eye": samples.eye_attention}[who]
    norms = torch.linalg.vector_norm(attention, dim=1)
    expected = mini.golden("components")[f"sample_norm_{who}"]
    np.testing.assert_allclose(norms, expected, rtol=1e-5)


def test_the_latent_code_is_row_zero():
    expected = mini.golden("components")["sample_code"]
    np.testing.assert_array_equal(mini.checkpoint().head().code, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_close(samples, dtype):
    reference = mini.golden("components")
    field = HeadField(mini.checkpoint().head(), torch.device("cpu"), dtype)
    with torch.inference_mode():
        rough = field(*(mini.tensor(reference[f"sample_{name}"])
                        for name in ("xyz", "dir", "enc_a", "eye")))  # fmt: skip
    assert rough.rgb.dtype == torch.float32
    assert float((rough.rgb - samples.rgb).abs().mean()) < 0.02
