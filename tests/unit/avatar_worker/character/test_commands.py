import av
import cv2
import numpy as np
import pytest

from avatar_worker.__main__ import main
from avatar_worker.character import load_bundle
from tests.unit.avatar_worker import mini

pytestmark = pytest.mark.unit

WHO = ["--data", str(mini.DATA), "--workspace", str(mini.WORKSPACE), "--ave", str(mini.ENCODER)]


def render(*options: object) -> int:
    return main(["render", *WHO, "--device", "cpu", *map(str, options)])


def test_the_split_with_its_own_sound_is_drawn_as_by_the_original(tmp_path):
    out = tmp_path / "own.npz"
    assert render("--no-portrait", "--start-frame", 5, "--frames", 2, "--out", out) == 0
    with np.load(out) as drawn:
        assert drawn["frame_index"].tolist() == [5, 6]
        for picture, frame in zip(drawn["frames"], (5, 6), strict=True):
            reference = mini.golden("frames_head")["image_uint8"][frame]
            mini.assert_reference_quality(picture, reference)


def test_the_train_split_is_drawn_as_by_the_original(tmp_path):
    out = tmp_path / "train.npz"
    assert render("--no-portrait", "--split", "train", "--frames", 1, "--out", out) == 0
    with np.load(out) as drawn:
        mini.assert_reference_quality(
            drawn["frames"][0], mini.golden("frames_train")["image_uint8"][0]
        )


def test_held_eyes_are_drawn_as_by_the_original(tmp_path):
    out, reference = tmp_path / "eyes.npz", mini.golden("variants")
    assert render("--no-portrait", "--fix-eye", 0.25, "--data-range", 0, 5, "--out", out) == 0
    with np.load(out) as drawn:
        assert reference["fix_eye_pose_index"].tolist() == [0, 1, 2, 3, 4]
        for picture, expected in zip(drawn["frames"], reference["fix_eye_uint8"], strict=True):
            mini.assert_reference_quality(picture, expected)


def test_smoothed_lips_are_drawn_as_by_the_original(tmp_path):
    out, reference = tmp_path / "lips.npz", mini.golden("variants")["smooth_lips_uint8"]
    assert render("--no-portrait", "--smooth-lips", "--start-frame", 3, "--frames", 1,
                  "--out", out) == 0  # fmt: skip
    with np.load(out) as drawn:
        mini.assert_reference_quality(drawn["frames"][0], reference[3])


@pytest.mark.parametrize(("flag", "frame"), [("--smooth-path", 2), ("--smooth-eye", 0)])
def test_smoothed_tracks_are_drawn_as_by_the_original(flag, frame, tmp_path):
    out, variants = tmp_path / "smooth.npz", mini.golden("variants")
    part = (2, 8) if flag == "--smooth-eye" else (0, -1)
    assert render("--no-portrait", flag, "--data-range", *part, "--start-frame", frame,
                  "--frames", 1, "--out", out) == 0  # fmt: skip
    reference = variants[flag.removeprefix("--").replace("-", "_") + "_uint8"]
    row = 0 if flag == "--smooth-eye" else variants["smooth_path_index"].tolist().index(frame)
    with np.load(out) as drawn:
        mini.assert_reference_quality(drawn["frames"][0], reference[row])


def test_the_track_turns_as_in_the_original(tmp_path):
    out, reference = tmp_path / "turn.npz", mini.golden("variants")
    options = ["--no-portrait", "--split", "train", "--data-range", 0, 12]
    options += ["--audio", mini.CROSS_WAV, "--start-frame", 11, "--frames", 3]
    assert render(*options, "--out", out) == 0
    with np.load(out) as drawn:
        for frame, expected in zip(
            reference["mirror_index"], reference["mirror_uint8"], strict=True
        ):
            if frame in drawn["frame_index"]:
                mini.assert_reference_quality(drawn["frames"][frame - 11], expected)


def test_a_video_has_pictures_and_sound(tmp_path):
    out = tmp_path / "cross.mp4"
    assert render("--audio", mini.CROSS_WAV, "--frames", 5, "--out", out) == 0
    with av.open(str(out)) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (128, 128, 25)
        assert (stream.codec_context.name, stream.frames) == ("h264", 5)
        assert video.streams.audio[0].codec_context.name == "aac"
        sound = [frame.to_ndarray() for frame in video.decode(video.streams.audio[0])]
    n_samples = sum(part.shape[1] for part in sound)
    assert abs(n_samples - 5 * 1920) <= 2048  # AAC pads to blocks of 1,024
    assert [path.name for path in tmp_path.iterdir()] == ["cross.mp4"]


def test_the_fast_path_is_close_to_the_exact_one(tmp_path):
    for precision in ("fp32", "auto"):
        assert (
            render("--frames", 1, "--precision", precision, "--out", tmp_path / f"{precision}.npz")
            == 0
        )
    with np.load(tmp_path / "fp32.npz") as exact, np.load(tmp_path / "auto.npz") as fast:
        assert mini.psnr(fast["frames"][0], exact["frames"][0]) >= 40.0


def test_a_bundle_is_made_and_drawn(tmp_path):
    bundle, persona = tmp_path / "mini.ZIP", tmp_path / "persona.toml"
    persona.write_text('[persona]\nvoice = "x"\n[[knowledge]]\nquestions = ["y"]\nanswer = "z"')
    assert main(["import", *WHO, "--out", str(bundle), "--name", "mini", "--split", "val",
                 "--loop", "2", "5", "--persona", str(persona)]) == 0  # fmt: skip
    assert bundle.is_file()
    scenes = load_bundle(bundle).scenes
    assert scenes is not None
    assert scenes.n_scenes == 3
    out = tmp_path / "drawn.npz"
    assert main(["render", "--character", str(bundle), "--audio", str(mini.CROSS_WAV), "--frames",
                 "2", "--device", "cpu", "--out", str(out)]) == 0  # fmt: skip
    with np.load(out) as drawn:
        assert drawn["frames"].shape == (2, 128, 128, 3)


def test_a_wider_softer_portrait_is_drawn(tmp_path):
    pictures = {}
    for name, options in (("own", []), ("wide", ["--blend-width", 24, "--blend-feather", 8])):
        out = tmp_path / f"{name}.npz"
        assert render("--frames", 1, *options, "--out", out) == 0
        with np.load(out) as drawn:
            pictures[name] = drawn["frames"][0]
    assert not np.array_equal(pictures["own"], pictures["wide"])
    assert mini.psnr(pictures["own"], pictures["wide"]) > 20.0  # it is the same face


@pytest.mark.parametrize(("suffix", "decoder", "sound"), [
    (".webm", "libvpx-vp9", "opus"), (".mov", "prores", "pcm_s16le"),
])  # fmt: skip
def test_a_transparent_video_shows_the_room_wherever_it_is_put(suffix, decoder, sound, tmp_path):
    exact, video = tmp_path / "cut.npz", tmp_path / f"cut{suffix}"
    for out in (exact, video):
        assert render("--no-portrait", "--alpha", "--frames", 2, "--out", out) == 0
    with np.load(exact) as drawn:
        expected = drawn["frames"][1]
    assert expected.shape == (128, 128, 4)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert container.streams.audio[0].codec_context.name == sound
        context = av.codec.CodecContext.create(decoder, "r")
        context.extradata = stream.codec_context.extradata
        context.codec_tag = stream.codec_context.codec_tag
        frames = [frame for packet in container.demux(stream) for frame in context.decode(packet)]
    assert len(frames) == 2
    shown = frames[1].to_ndarray(format="rgba")
    assert np.abs(shown[:, :, 3].astype(int) - expected[:, :, 3]).mean() < 1.0
    opaque = expected[:, :, 3] == 255
    assert mini.psnr(shown[opaque][:, :3], expected[opaque][:, :3]) > 35.0


def test_a_bundle_of_a_whole_head_stands_before_any_background(tmp_path):
    bundle, still = tmp_path / "mini.zip", tmp_path / "room.png"
    assert main(["import", *WHO, "--out", str(bundle), "--name", "mini", "--split", "val",
                 "--no-portrait", "--loop", "0", "2"]) == 0  # fmt: skip
    cv2.imwrite(str(still), np.full((64, 64, 3), (64, 177, 0), np.uint8))  # blue, green, red
    drawn = {}
    for background in ("#00b140", str(still)):
        for source in (["--character", str(bundle)], [*WHO, "--split", "val"]):
            out = tmp_path / "drawn.npz"
            assert main(["render", *source, "--audio", str(mini.CROSS_WAV), "--frames", "1",
                         "--no-portrait", "--background", background, "--device", "cpu",
                         "--out", str(out)]) == 0  # fmt: skip
            with np.load(out) as found:
                drawn[background, source[0]] = found["frames"][0]
    first, *others = drawn.values()
    assert (first == (0, 177, 64)).all(axis=2).any()
    assert all(mini.psnr(other, first) > 35.0 for other in others)  # the bundle's WebP


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--out", "x.avi"], "must end in .mp4 or .npz without --alpha"),
        (["--out", "x.webm"], "must end in .mp4 or .npz without --alpha"),
        (["--out", "x.mp4", "--alpha"], "must end in .webm, .mov or .npz with --alpha"),
        (["--out", "x.npz", "--alpha"], "--alpha is not for portraits"),
        (["--out", "x.npz", "--background", "#00b140"], "--background is not for portraits"),
        (["--out", "x.npz", "--alpha", "--background", "#00b140"], "give it or --background"),
        (["--out", "x.npz", "--no-portrait", "--background", "blue"], "blue cannot be read"),
        (["--out", "x.npz", "--no-portrait", "--blend-width", "4"], "blend_width is for portraits"),
        (["--out", "nowhere/x.npz"], "folder does not exist"),
        (["--out", "x.npz", "--audio", "absent.wav"], "absent.wav: no such file"),
        (["--out", "x.npz", "--torso"], "it has no torso"),
        (["--out", "x.npz", "--bs-area", "eye"], "trained with upper, not eye"),
        (["--out", "x.npz", "--au45"], "trained with upper, not au45"),
        (["--out", "x.npz", "--asr-model", "hubert"], "listens to ave, not hubert"),
        (["--out", "x.npz", "--hubert", "h.onnx"], "listens to ave features, not hubert"),
        (["--out", "x.npz", "--start-frame", "8"], "only 8 frames"),
        (["--out", "x.npz", "--ckpt", "absent.pth"], "absent.pth: no such file"),
        (["--out", "x.npz", "--character", "mira"], "give one of both"),
        (["--out", "x.npz", "--bg-img", "absent.jpg"], "absent.jpg cannot be read"),
        (["--out", "x.npz", "--device", "tpu"], "not known"),
        (["--out", "x.npz", "--background", "white", "--bg-img", "black"], "give one of them"),
        (["--out", "x.npz", "--no-portrait", "--background", "#gggggg"], "expected #rrggbb"),
        (["--out", "x.npz", "--bg-img", "#12"], "expected #rrggbb"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_one_sentence(
    options, sentence, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["render", *WHO, *options]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--torso"], "--torso belongs to --data and --workspace"),
        (["--split", "val"], "--split belongs to --data"),
        (["--ckpt", "latest"], "--ckpt belongs to --data"),
        (["--data-range", "0", "-1"], "--data-range belongs to --data"),
        (["--att", "2"], "--att belongs to --data"),
        (["--ave", "nix"], "--ave belongs to --data"),
        (["--bg-img", "white"], "--bg-img belongs to --data"),
        (["--smooth-path"], "--smooth-path belongs to --data"),
        (["--smooth-eye"], "--smooth-eye belongs to --data"),
        (["--bs-area", "eye"], "character mira was trained with upper, not eye"),
        (["--au45"], "character mira was trained with upper, not au45"),
        (["--asr-model", "hubert"], "character mira listens to ave, not hubert"),
    ],
)
def test_what_cannot_be_said_of_a_bundle_is_refused(options, sentence, tmp_path, capsys):
    """It was drawn as if nothing had been said."""
    arguments = ["--character", "mira", "--audio", mini.CROSS_WAV, "--frames", "1"]
    out = tmp_path / "x.npz"
    assert main(["render", *map(str, arguments), "--out", str(out), *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_at_the_name_of_the_video_is_refused_before_anything_is_drawn(tmp_path, capsys):
    (tmp_path / "x.mp4").mkdir()
    assert render("--out", tmp_path / "x.mp4") == 2
    assert "x.mp4 is a folder; expected the name of a file" in capsys.readouterr().err


@pytest.mark.parametrize("side", ["0", "-5", "15", "4097", "64.5"])
@pytest.mark.parametrize("command", ["render", "import"])
def test_a_picture_has_a_size_that_can_be_shown(command, side, tmp_path, capsys):
    """0 meant the footage's own, and −5 ended in a traceback."""
    with pytest.raises(SystemExit) as stop:
        main([command, *WHO, "--name", "x", "--out", str(tmp_path / "x"), f"--width={side}"])
    assert stop.value.code == 2
    assert f"--width: {side}: expected whole pixels, 16 to 4096" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "persona", "sentence"),
    [
        (["--name", "Mira"], "", "name is 'Mira'; expected at most 60 lower-case letters"),
        (["--licence", " "], "", "--licence is empty"),
        (["--consent", ""], "", "--consent is empty"),
        ([], "Mira is kind.", "persona.toml cannot be read"),
        ([], "persona = 'kind'", "expected [persona] and [[knowledge]]"),
        ([], "[persona]\nvoice = 3", "voice is 3; expected a text"),
        ([], "[[knowledge]]\nquestions = []\nanswer = 'x'", "a list of questions and one answer"),
        (["--persona", "absent.toml"], "", "absent.toml cannot be read: No such file"),
    ],
)
def test_what_a_bundle_cannot_say_is_refused_before_the_work(
    options, persona, sentence, tmp_path, capsys
):
    """It was refused last, or by the platform only: here even the data folder is absent."""
    (tmp_path / "persona.toml").write_text(persona)
    assert main(["import", "--data", "nowhere", "--workspace", "nowhere", "--name", "mini",
                 "--persona", str(tmp_path / "persona.toml"), "--out", str(tmp_path / "x.zip"),
                 *options]) == 2  # fmt: skip
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", ["truncated", "unexpected_global", "nan_sigma_net", "not_a_dict"])
def test_a_malformed_checkpoint_is_refused_with_exit_code_2(name, tmp_path, capsys):
    path = mini.MALFORMED / f"{name}.pth"
    assert render("--ckpt", path, "--out", tmp_path / "x.npz") == 2
    assert f"{name}.pth" in capsys.readouterr().err


def test_a_command_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["dance"])
    assert stop.value.code == 2
    assert "dance" in capsys.readouterr().err
