"""Settings: typed, checked at start, named when wrong."""

import pytest

from avatar_worker.__main__ import main
from avatar_worker.config import ConfigurationError, VideoCodec, load_settings

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.setenv("AVATAR_HUBERT_MODEL", "")
    for name in ("AVATAR_SLOTS", "AVATAR_FPS", "AVATAR_CLASS", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORKER_TOKEN", "a-worker-token")


def test_the_defaults_are_the_documented_ones() -> None:
    settings = load_settings()
    assert settings.redis_url.get_secret_value() == "redis://localhost:6379/0"
    assert settings.avatar_slots == "auto"
    assert settings.avatar_video_codec is VideoCodec.VP8
    assert settings.render_threads >= 1
    assert settings.avatar_hubert_model is None


def test_slots_are_a_number_or_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_SLOTS", "3")
    assert load_settings().avatar_slots == 3
    for wrong in ("0", "-1", "foo", ""):
        monkeypatch.setenv("AVATAR_SLOTS", wrong)
        with pytest.raises(ConfigurationError) as refusal:
            load_settings()
        said = f"AVATAR_SLOTS: expected a number of at least 1, or auto, found {wrong!r}"
        assert str(refusal.value) == said


def test_a_worker_with_wrong_settings_ends_with_a_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVATAR_SLOTS", "foo")
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("avatar worker: AVATAR_SLOTS: expected")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AVATAR_FPS", "30"),
        ("AVATAR_CLASS", "Big GPU"),
        ("AVATAR_DEVICE", "tpu"),
        ("AVATAR_HUBERT_MODEL", "nowhere.onnx"),
        ("WORKER_TOKEN", ""),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


def test_another_rate_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_FPS", "30")
    with pytest.raises(ConfigurationError, match="trained on 25 pictures"):
        load_settings()
