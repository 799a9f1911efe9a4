"""`python -m avatar_worker render`: a face for a sound file, with the code of the live path.

Without `--audio` and `--features` the split's own sound drives the face, as in the original's
test run. Frame i of the output uses audio vector i and scene `mirror_index(i)`.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from torch import Tensor
from tqdm import tqdm

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.features import AudioVector
from avatar_worker.audio.pooling import AudioNetworks
from avatar_worker.audio.sequence import read_features, sound_features, vectors
from avatar_worker.audio.sound import Sound, read_sound
from avatar_worker.audio.window import FRAME_RATE_HZ, AttentionMode
from avatar_worker.character import Character, load_bundle
from avatar_worker.commands.arguments import side_px
from avatar_worker.commands.refusal import UsageError, run_refusing
from avatar_worker.render.backdrop import BackdropScenes, colour_of
from avatar_worker.render.motion import smooth_eyes, smooth_path
from avatar_worker.render.pictures import read_rgb, resize
from avatar_worker.render.renderer import FrameRequest
from avatar_worker.render.scene import mirror_index
from avatar_worker.trained import TrainedFolder, open_trained
from avatar_worker.video_file import CODINGS, NpzWriter, PictureWriter, VideoWriter

SHIPPED: Final = Path(__file__).parents[1] / "characters"
FOLDER_OPTIONS: Final = {
    "ckpt": "latest", "split": "val", "data_range": (0, -1), "torso": False, "bg_img": None,
    "ave": None, "att": 2, "smooth_path": False, "smooth_eye": False,
}  # fmt: skip
"""Options of --data and --workspace only, and what they are when they are not given."""


def find_bundle(name: str) -> Path:
    """A folder or zip, or the name of a shipped character."""
    path = Path(name)
    return SHIPPED / name if not path.exists() and (SHIPPED / name).is_dir() else path


@dataclass(frozen=True, slots=True)
class Driving:
    """What drives the face.

    Attributes:
        vectors: audio vectors from the first frame wanted on.
        n_frames: frames that the sound drives in all.
        sound: what is heard, None if there is only a feature file.
        sound_start_s: where in the sound frame 0 begins.
    """

    vectors: Iterator[AudioVector]
    n_frames: int
    sound: Sound | None
    sound_start_s: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw; returns 0, or 2 with one sentence on standard error."""
    parsed = build_parser().parse_args(arguments)
    return run_refusing(lambda: render(parsed))


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m avatar_worker render", description=__doc__)
    who = parser.add_argument_group("who is drawn")
    who.add_argument("--character", metavar="NAME|BUNDLE", help="a shipped name, folder or zip")
    who.add_argument("--data", type=Path, metavar="DIR", help="SyncTalk data folder")
    who.add_argument("--workspace", type=Path, metavar="DIR", help="folder with checkpoints/")
    who.add_argument("--ckpt", help="latest (the default), best or a file")
    who.add_argument("--split", choices=("train", "val"), help="whose frames (default: val)")
    who.add_argument("--data-range", type=int, nargs=2, metavar=("A", "B"),
                     help="frames A up to before B of the split; B -1: to the end")  # fmt: skip
    who.add_argument("--portrait", action=argparse.BooleanOptionalAction, default=None,
                     help="blend into the original frames (default without --torso)")  # fmt: skip
    who.add_argument("--torso", action="store_true", default=None, help="draw the neural torso")
    who.add_argument("--bs-area", choices=("upper", "single", "eye"), help="checked, not needed")
    who.add_argument("--au45", action="store_true", help="checked, not needed")
    who.add_argument("--bg-img", metavar="FILE|white|black", help="instead of bc.jpg")
    who.add_argument("--background", metavar="FILE|#rrggbb",
                     help="behind head and torso; not for portraits")  # fmt: skip
    who.add_argument("--blend-width", type=float, metavar="PX",
                     help="portraits: how much further the head reaches, -32 to 32")  # fmt: skip
    who.add_argument("--blend-feather", type=float, metavar="PX",
                     help="portraits: how much softer its edge is, 0 to 32")  # fmt: skip
    who.add_argument("--width", type=side_px, metavar="PX", help="default: of the footage")
    who.add_argument("--height", type=side_px, metavar="PX", help="default: of the footage")
    driven = parser.add_argument_group("what drives the face")
    driven.add_argument("--audio", type=Path, metavar="FILE", help="any sound file")
    driven.add_argument("--features", type=Path, metavar="FILE.npy", help="one feature a frame")
    driven.add_argument("--ave", type=Path, metavar="FILE",
                        help="audio-visual encoder, if the checkpoint holds none")  # fmt: skip
    driven.add_argument("--hubert", type=Path, metavar="FILE",
                        help="HuBERT model, .onnx or TorchScript")  # fmt: skip
    driven.add_argument("--asr-model", choices=("ave", "deepspeech", "hubert"),
                        help="checked, not needed")  # fmt: skip
    driven.add_argument("--att", type=int, choices=(0, 1, 2), help="audio window mode (default: 2)")
    driven.add_argument("--fix-eye", type=float, metavar="X", help="hold brows and eyes at X")
    driven.add_argument("--smooth-lips", action="store_true",
                        help="each audio vector keeps a share of the one before")  # fmt: skip
    driven.add_argument("--smooth-path", action="store_true", default=None,
                        help="mean of poses over 7 frames")  # fmt: skip
    driven.add_argument("--smooth-eye", action="store_true", default=None,
                        help="mean of eyes over 3 frames")  # fmt: skip
    out = parser.add_argument_group("what comes out")
    out.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=".mp4 or .npz; with --alpha .webm, .mov or .npz",
    )
    out.add_argument("--alpha", action="store_true",
                     help="transparent behind head and torso; not for portraits")  # fmt: skip
    out.add_argument("--start-frame", type=int, default=0, metavar="N",
                     help="the first frame drawn, counted from 0")  # fmt: skip
    out.add_argument("--frames", type=int, metavar="N", help="default: all")
    out.add_argument("--device", default="auto", help="auto, cpu or cuda")
    out.add_argument("--precision", choices=("auto", "fp32", "fp16", "bf16"), default="fp32",
                     help="fp32 is exact, auto is what the live path uses")  # fmt: skip
    return parser


def render(options: argparse.Namespace) -> None:
    """Draw the frames asked for and write them."""
    _check_out(options)
    if not options.out.parent.is_dir():
        raise UsageError(f"--out {options.out}: the folder does not exist")
    if options.start_frame < 0 or (options.frames is not None and options.frames < 1):
        raise UsageError("--start-frame must be 0 or more and --frames 1 or more")
    character, driving = _character_of(options) if options.character else _trained_of(options)
    n_frames = driving.n_frames - options.start_frame
    if n_frames < 1:
        raise UsageError(f"--start-frame {options.start_frame}: only {driving.n_frames} frames")
    n_frames = min(n_frames, options.frames or n_frames)
    character = _styled(options, character)
    renderer = character.renderer(device=options.device, precision=options.precision)
    scenes = character.scenes
    assert scenes is not None  # renderer() has refused otherwise
    eye = None if options.fix_eye is None else np.array([options.fix_eye], np.float32)
    wanted = islice(driving.vectors, n_frames)
    with _writer(options, character, driving, n_frames) as writer:
        for done, enc_a in enumerate(tqdm(wanted, total=n_frames, unit="frame")):
            index = options.start_frame + done
            pose_index = mirror_index(index, scenes.n_scenes)
            frame = FrameRequest(enc_a, pose_index, eye)
            draw = renderer.render_cut_out if options.alpha else renderer.render
            writer.add(index, draw(frame))


def _check_out(options: argparse.Namespace) -> None:
    suffixes = [s for s, coding in CODINGS.items() if coding.transparent == options.alpha]
    if options.out.suffix not in (*suffixes, ".npz"):
        raise UsageError(
            f"--out {options.out}: the name must end in {', '.join(suffixes)} or .npz "
            f"{'with' if options.alpha else 'without'} --alpha"
        )
    if options.out.is_dir():
        raise UsageError(f"--out {options.out} is a folder; expected the name of a file")
    if options.alpha and options.background:
        raise UsageError("--alpha leaves the background out: give it or --background")
    if options.background and options.bg_img:
        raise UsageError("--background and --bg-img both say what is behind: give one of them")
    for name in ("background", "bg_img"):
        value = getattr(options, name)
        if value and value.startswith("#") and colour_of(value) is None:
            raise UsageError(f"{_flag(name)} {value}: expected #rrggbb")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _styled(options: argparse.Namespace, character: Character) -> Character:
    """The character with what was asked for before its own options."""
    names = ("blend_width", "blend_feather")
    wanted = {name: value for name in names if (value := getattr(options, name)) is not None}
    if not (options.alpha or options.background):
        return replace(character, options={**character.options, **wanted})
    if character.portrait:
        raise UsageError(
            f"{'--alpha' if options.alpha else '--background'} is not for portraits, whose "
            "original frames have their background in them: give --no-portrait or --torso"
        )
    scenes = character.scenes
    if options.character and options.background and scenes is not None:
        still = colour_of(options.background)
        if still is None:
            picture = resize(read_rgb(Path(options.background)), *scenes.size)
            scenes = BackdropScenes(scenes, picture)
        else:
            scenes = BackdropScenes(scenes, still)
    own = {**character.options, "background": None}  # this one goes before the bundle's
    return replace(character, options={**own, **wanted}, scenes=scenes)


def _character_of(options: argparse.Namespace) -> tuple[Character, Driving]:
    if options.data or options.workspace:
        raise UsageError("--character stands in place of --data and --workspace: give one of both")
    for name in FOLDER_OPTIONS:
        if getattr(options, name) is not None:
            raise UsageError(
                f"{_flag(name)} belongs to --data and --workspace; "
                "a bundle is drawn as it was imported"
            )
    character = load_bundle(
        find_bundle(options.character),
        width=options.width,
        height=options.height,
        portrait=options.portrait,
        hubert=options.hubert,
    )
    if character.audio is None:
        raise UsageError(f"character {character.name} is drawn by engine {character.engine}, which "
                         "has no head to render")  # fmt: skip
    audio = character.audio
    heard = "ave" if isinstance(audio.encoder, AveEncoder) else "hubert"
    _check_expected(options, f"character {character.name}", character.options.get("eye"), heard)
    if options.features:
        features: Sequence[Tensor] = read_features(options.features, audio.networks)
        sound = read_sound(options.audio) if options.audio else None
    elif options.audio:
        sound = read_sound(options.audio)
        features = sound_features(audio.encoder, sound.mono())
    else:
        raise UsageError("a bundle has no sound of its own: give --audio or --features")
    return character, _drive(options, audio.networks, features, audio.mode, sound)


def _trained_of(options: argparse.Namespace) -> tuple[Character, Driving]:
    if not (options.data and options.workspace):
        raise UsageError("give --data and --workspace, or --character")
    for name, default in FOLDER_OPTIONS.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    start, stop = options.data_range
    trained = open_trained(
        options.data,
        options.workspace,
        torso=options.torso,
        split=options.split,
        checkpoint=options.ckpt,
        attention=options.att,
        part=(start, None if stop == -1 else stop),
    )
    flavour = trained.checkpoint.flavour
    _check_expected(options, trained.checkpoint.path, flavour.eye, flavour.audio)
    if options.smooth_path:
        trained = replace(trained, footage=smooth_path(trained.footage))
    if options.smooth_eye:
        trained = replace(trained, footage=smooth_eyes(trained.footage))
    character = trained.character(
        portrait=not options.torso if options.portrait is None else options.portrait,
        width=options.width,
        height=options.height,
        background=options.background or options.bg_img,
    )
    return character, _trained_driving(options, trained)


def _check_expected(options: argparse.Namespace, who: object, eye: object, audio: str) -> None:
    """What the caller says about the head must be what it is."""
    said = "au45" if options.au45 else options.bs_area
    if said is not None and said != eye:
        raise UsageError(f"{who} was trained with {eye}, not {said}")
    if options.asr_model is not None and options.asr_model != audio:
        raise UsageError(f"{who} listens to {audio}, not {options.asr_model}")


def _trained_driving(options: argparse.Namespace, trained: TrainedFolder) -> Driving:
    sound = read_sound(options.audio) if options.audio else None
    start_s = 0.0
    if options.features:
        features: Sequence[Tensor] = read_features(options.features, trained.networks)
    elif sound is not None:
        features = sound_features(trained.encoder(options.ave, options.hubert), sound.mono())
    else:
        features = trained.own_features(options.ave, options.hubert)
        own = trained.footage.folder / "aud.wav"
        sound = read_sound(own) if own.is_file() and options.out.suffix != ".npz" else None
        start_s = trained.footage.audio_ids[0] / FRAME_RATE_HZ
    return _drive(options, trained.networks, features, trained.mode, sound, start_s)


def _drive(
    options: argparse.Namespace,
    networks: AudioNetworks,
    features: Sequence[Tensor],
    mode: AttentionMode,
    sound: Sound | None,
    start_s: float = 0.0,
) -> Driving:
    enc_a = vectors(
        networks, features, mode, start=options.start_frame, smooth_lips=options.smooth_lips
    )
    return Driving(enc_a, len(features), sound, start_s)


def _writer(
    options: argparse.Namespace, character: Character, driving: Driving, n_frames: int
) -> PictureWriter:
    size = (character.width, character.height)
    if options.out.suffix == ".npz":
        return NpzWriter(options.out, n_frames, size, transparent=options.alpha)
    if driving.sound is None:
        return VideoWriter(options.out, size, None)
    rate_hz = driving.sound.rate_hz
    start_s = driving.sound_start_s + options.start_frame / FRAME_RATE_HZ
    samples = driving.sound.mono(rate_hz)[round(start_s * rate_hz) :]
    return VideoWriter(options.out, size, (samples, rate_hz))
