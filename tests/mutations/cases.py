"""One mutated input after the other, by number, and what the product makes of each.

A case is decided by its seed and its number alone, so that one that fails can be run again. Its
number also says its kind: kinds take turns.
"""

import os
import shutil
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import torch

from avatar_worker.audio.encoder import AveEncoder
from avatar_worker.audio.errors import AudioError
from avatar_worker.audio.window import AttentionMode
from avatar_worker.character import BundleError, load_bundle
from avatar_worker.render.checkpoint import read_checkpoint
from avatar_worker.render.checkpoint_layout import EyeMode
from avatar_worker.render.data_folder import FootageScenes, Split, read_split
from avatar_worker.render.errors import RenderError
from avatar_worker.render.torso import TorsoField
from avatar_worker.trained import open_trained, read_encoder
from tests.mutations import pickles, tensors
from tests.mutations.archives import ARCHIVE_DAMAGES, MIB, pack, records, with_record
from tests.mutations.bundles import BUNDLE_DAMAGES
from tests.mutations.damage import no_plain_file, replace
from tests.mutations.folders import FOLDER_DAMAGES, odd_array, saved
from tests.mutations.seeds import Seeds, torch_file
from tests.mutations.tripwire import tripwire

ALLOWED: Final = (RenderError, AudioError, BundleError)
MAX_MESSAGE: Final = 1000
"""Characters of one sentence; more is content of the file."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mutated input.

    Attributes:
        note: what was done.
        enter: gives it to the product.
        mark: a file that hostile content tries to write.
    """

    note: str
    enter: Callable[[], object]
    mark: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case.

    Attributes:
        kind: of mutation.
        note: what was done.
        result: `accepted`, or the class of the error.
        problem: why this is not allowed, empty if it is.
        message: of the error.
        seconds: that the product took.
    """

    kind: str
    note: str
    result: str
    problem: str
    message: str
    seconds: float


Make = Callable[[Random, Seeds, Path], tuple[str, Callable[[], object]]]


def run_case(number: int, seed: int, seeds: Seeds, place: Path) -> Outcome:
    """Make case `number` in an empty folder, give it to the product and judge what comes."""
    kind, mutation = make_case(number, seed, seeds, place)
    return judge(kind, mutation)


def make_case(number: int, seed: int, seeds: Seeds, place: Path) -> tuple[str, Mutation]:
    """Write the input of case `number` into an empty folder."""
    rng = Random(f"{seed}/{number}")
    kind = list(KINDS)[number % len(KINDS)]
    note, enter = KINDS[kind](rng, seeds, place)
    return kind, Mutation(note, enter, place / "mark")


def judge(kind: str, mutation: Mutation) -> Outcome:
    """Give an input to the product; only success and typed errors of one line are allowed."""
    result, problem, message = "accepted", "", ""
    began = time.monotonic()
    with tripwire() as sprung:
        try:
            mutation.enter()
        except ALLOWED as error:
            result, message = type(error).__name__, str(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of a library in Rust is not an Exception
            result, message = type(error).__name__, str(error)
            problem = "".join(traceback.format_exception(error, limit=-6))
    seconds = time.monotonic() - began
    if sprung or mutation.mark.exists():
        problem += f"code was run: {sprung[:3]}, mark written: {mutation.mark.exists()}"
    if result != "accepted" and not problem:
        problem = _not_a_sentence(message)
    return Outcome(kind, mutation.note, result, problem, message[:MAX_MESSAGE], seconds)


def _not_a_sentence(message: str) -> str:
    if not message.strip():
        return "the message is empty"
    if len(message.splitlines()) > 1 or not message.isprintable():
        return f"the message is not one printable line: {message[:MAX_MESSAGE]!r}"
    if len(message) > MAX_MESSAGE:
        return f"the message has {len(message)} characters: {message[:300]!r}"
    return ""


def _torch_file(rng: Random, seeds: Seeds, place: Path, name: str, content: bytes) -> Any:
    """The entry point for a torch file that was made from seed `name`."""
    path = place / "checkpoints" / "ngp_ep0001.pth"
    path.parent.mkdir()
    path.write_bytes(content)
    if name == "encoder":
        return lambda: AveEncoder(read_encoder(path))
    whole = rng.random() < 0.5
    split: Split = rng.choice(("train", "val"))

    def enter() -> None:
        if whole:
            trained = open_trained(seeds.data, place, torso=name == "torso", split=split)
            trained.scenes(portrait=False).scene(0)
            return
        found = read_checkpoint(path)
        found.head()
        if found.flavour.has_torso:
            found.torso()

    return enter


def _archive(damage: Callable[[Random, bytes], bytes]) -> Make:
    def make(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
        name = rng.choice(("head", "head", "torso", "encoder", "trained"))
        content = damage(rng, seeds.content(f"{name}.pth"))
        return name, _torch_file(rng, seeds, place, name, content)

    return make


def _pickle(damage: Callable[[Random, bytes], bytes]) -> Make:
    def make(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
        name = rng.choice(("head", "head", "torso", "encoder"))
        content = seeds.content(f"{name}.pth")
        program = dict(records(content))
        base = next(record for key, record in program.items() if key.endswith("data.pkl"))
        changed = damage(rng, base)
        plain = rng.random() < 0.1
        content = changed if plain else with_record(content, "data.pkl", changed)
        return name, _torch_file(rng, seeds, place, name, content)

    return make


def _hostile(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    make = _pickle(lambda rng, content: pickles.hostile(rng, content, place / "mark"))
    return make(rng, seeds, place)


def _state(damage: Callable[[Random, dict[str, Any]], Any]) -> Make:
    def make(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
        name = rng.choice(("head", "head", "torso", "encoder"))
        try:
            content = torch_file(damage(rng, seeds.state(name)))
        except (RuntimeError, TypeError):  # torch does not make or store these
            content = torch_file([name])
        return name, _torch_file(rng, seeds, place, name, content)

    return make


def _declared(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    """A torch file whose description of a tensor does not fit what is stored."""
    name = rng.choice(("head", "head", "torso", "encoder"))
    state = seeds.state(name)
    model = state.get("model", state)
    described: dict[str, Any] = {}
    entries = []
    for index, (key, tensor) in enumerate(model.items()):
        kind = str(tensor.type()).removeprefix("torch.").replace("Tensor", "Storage")
        described[key] = pickles.Stored(
            kind, str(index), tensor.numel(), tuple(tensor.shape), tuple(tensor.stride())
        )
        entries.append((f"a/data/{index}", tensor.numpy().tobytes()))
    free = [k for k in described if k.startswith(("individual_codes", "audio_net", "color_net"))]
    key = rng.choice((*described, *free * 5))
    if rng.random() < 0.03:  # as much as is accepted, and really there
        key = "huge"
        described[key] = pickles.Stored("FloatStorage", key, 120 * MIB, (120 * MIB,), (1,))
        entries.append(("a/data/huge", bytes(480 * MIB)))
    else:
        described[key] = pickles.odd_tensor(rng, described[key])
        if rng.random() < 0.2:
            extra = pickles.Stored("FloatStorage", "1", 4, (4,), (1,))
            described["extra"] = pickles.odd_tensor(rng, extra)
    content = described if model is state else {"epoch": 3, "model": described}
    about = [("a/version", b"3\n"), ("a/byteorder", b"little")]
    file = pack([("a/data.pkl", pickles.program(content)), *about, *entries])
    return f"{name} {key}", _torch_file(rng, seeds, place, name, file)


def _legacy(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    name = rng.choice(("head", "encoder"))
    content = pickles.legacy(rng, seeds.state(name))
    return name, _torch_file(rng, seeds, place, name, content)


def _folder(pattern: str, damage: Callable[[Random, bytes], bytes]) -> Make:
    def make(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
        folder = seeds.linked("data", place)
        path, split = _some_file(rng, folder, pattern)
        replace(path, damage(rng, path.read_bytes()))
        return path.name, _enter_folder(rng, seeds, folder, split, path.name)

    return make


def _some_file(rng: Random, folder: Path, pattern: str) -> tuple[Path, Split]:
    """A file, and the split that reads it."""
    split: Split = rng.choice(("train", "val"))
    first = 24 if split == "val" else 0
    if pattern == "*/*":
        names = (f"ori_imgs/{first}.jpg", f"torso_imgs/{first}.png", f"parsing/{first}_face.png",
                 "bc.jpg")  # fmt: skip
        return folder / rng.choice(names), split
    return folder / pattern.replace("*", split), split


def _features(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    """A head that listens to stored features, which are damaged."""
    folder = seeds.linked("data", place)
    content = odd_array(rng, saved(np.zeros((24, 2, 1024), np.float32)))
    (folder / "aud_hu.npy").write_bytes(content)

    def enter() -> None:
        head = str(seeds.folder / "hubert.pth")
        open_trained(folder, seeds.folder, checkpoint=head).own_features(None)

    return "aud_hu.npy", enter


def _enter_folder(
    rng: Random, seeds: Seeds, folder: Path, split: Split, file: str
) -> Callable[[], object]:
    eye: EyeMode = rng.choice(("upper", "upper", "single", "eye", "au45"))
    if file in ("au.csv", "bs.npy"):
        eye = "upper" if file == "bs.npy" else "au45"
    portrait, torso, whole = rng.random() < 0.5, rng.random() < 0.2, rng.random() < 0.3
    width, height = rng.choice(((None, None), (64, 64)))
    start = rng.choice((0, 0, 1, 3))

    def enter() -> None:
        if whole or file == "aud.wav":
            trained = open_trained(
                folder, seeds.folder, split=split, checkpoint=str(seeds.folder / "head.pth"),
                part=(start, start + 1),
            )  # fmt: skip
            trained.scenes(portrait=portrait, width=width, height=height).scene(0)
            if file == "aud.wav" or torso:
                trained.own_features(seeds.folder / "encoder.pth")
            return
        footage = read_split(folder, split, eye)
        field = None
        if torso and not portrait:
            field = TorsoField(read_checkpoint(seeds.folder / "torso.pth").torso())
        scenes = FootageScenes(
            footage, portrait=portrait, width=width, height=height, torso=field,
        )  # fmt: skip
        _checked(scenes.scene(0))

    return enter


def _checked(scene: Any) -> None:
    """What follows may rely on this."""
    assert np.isfinite(scene.pose).all()
    assert np.isfinite(scene.eye).all()
    assert np.isfinite(scene.intrinsics).all()
    assert np.isfinite(scene.background).all()


def _no_files(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    """Pipes, links, folders, endless and absent files instead of those of a data folder."""
    folder = seeds.linked("data", place)
    pattern = rng.choice(("*/*", "*/*", "transforms_*.json", "bs.npy", "au.csv", "aud.wav"))
    path, split = _some_file(rng, folder, pattern)
    note = no_plain_file(rng, path)
    return note, _enter_folder(rng, seeds, folder, split, path.name)


def _odd_ids(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    """A checkpoint or an encoder that is not a plain file."""
    name = rng.choice(("head", "encoder"))
    enter = _torch_file(rng, seeds, place, name, seeds.content(f"{name}.pth"))
    return no_plain_file(rng, place / "checkpoints" / "ngp_ep0001.pth"), enter


def _bundle(damage: Callable[[Random, Path], str]) -> Make:
    def make(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
        folder = seeds.linked("bundle", place)
        note = damage(rng, folder)
        size = rng.choice((None, None, 64))
        return note, lambda: _enter_bundle(folder, size)

    return make


def _enter_bundle(path: Path, size: int | None) -> None:
    character = load_bundle(path, width=size, height=size)
    if character.scenes is not None:
        _checked(character.scenes.scene(0))
        assert character.audio is not None
        character.audio.silence()


def _bundle_archive(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    name = rng.choice(list(ARCHIVE_DAMAGES))
    path = place / "bundle.zip"
    path.write_bytes(ARCHIVE_DAMAGES[name](rng, seeds.content("bundle.zip")))
    return name, lambda: _enter_bundle(path, None)


def _cameras(rng: Random, seeds: Seeds, place: Path) -> tuple[str, Callable[[], object]]:
    """Checkpoint and data folder that do not go together; camera offsets of any kind."""
    state = seeds.state("torso")
    for key in ("camera_dR", "camera_dT"):
        shape = rng.choice(((4, 3), (4, 3), (4, 3), (3, 3), (4,), (4, 4), (0, 3), (100, 3), ()))
        dtype = rng.choice((torch.float32, torch.float32, *tensors.DTYPES[:9]))
        values = rng.choice((0.0, 1.0, 1e3, 1e30, 3e38, -3e38, 1e-45, float("nan")))
        if values != 0.0 and not dtype.is_floating_point:
            values = 1.0
        state["model"][key] = torch.full(shape, values, dtype=torch.float64).to(dtype)
        if rng.random() < 0.1:
            del state["model"][key]
    if rng.random() < 0.4:
        with suppress(RuntimeError):  # a number that the type cannot hold
            state = tensors.damaged_state(rng, state)
    path = place / "checkpoints" / "ngp_ep0001.pth"
    path.parent.mkdir()
    try:
        path.write_bytes(torch_file(state))
    except (RuntimeError, TypeError):  # torch does not store this
        path.write_bytes(b"")
    torso = rng.random() < 0.7
    attention: AttentionMode = rng.choice((0, 1, 2))

    def enter() -> None:
        trained = open_trained(
            seeds.data, place, torso=torso, split="train", attention=attention, part=(1, 2)
        )
        _checked(trained.scenes(portrait=False).scene(0))
        trained.own_features(seeds.folder / "encoder.pth")

    return "camera offsets", enter


def valid_inputs(seeds: Seeds) -> list[tuple[str, Callable[[], object]]]:
    """Every entry point with what it should be given."""
    folder, rng = seeds.folder, Random(0)
    splits: tuple[Split, ...] = ("train", "val")
    inputs: list[tuple[str, Callable[[], object]]] = [
        (f"{split} {file}", _enter_folder(rng, seeds, seeds.data, split, file))
        for split in splits
        for file in ("bs.npy", "au.csv", "aud.wav")
    ]
    inputs += [
        (name, partial(read_checkpoint, folder / f"{name}.pth"))
        for name in ("head", "torso", "trained", "hubert")
    ]
    inputs += [
        (name, partial(_enter_bundle, folder / name, None)) for name in ("bundle", "bundle.zip")
    ]
    inputs.append(("encoder", lambda: AveEncoder(read_encoder(folder / "encoder.pth"))))

    def draw_torso() -> None:
        path = str(folder / "torso.pth")
        trained = open_trained(seeds.data, folder, torso=True, checkpoint=path)
        _checked(trained.scenes(portrait=False).scene(0))

    return [*inputs, ("drawn torso", draw_torso)]


KINDS: Final[dict[str, Make]] = {
    **{f"torch file: {name}": _archive(damage) for name, damage in ARCHIVE_DAMAGES.items()},
    "torch file: no plain file": _odd_ids,
    "torch file: before archives": _legacy,
    "pickle: bytes": _pickle(pickles.damaged_pickle),
    "pickle: instructions": _pickle(pickles.odd_instructions),
    "pickle: calls": _hostile,
    "pickle: bombs": _pickle(pickles.bombs),
    "tensors: declared otherwise": _declared,
    "tensors: shapes, types, numbers": _state(tensors.damaged_state),
    "tensors: keys, nesting": _state(tensors.odd_keys),
    "tensors: camera offsets": _cameras,
    **{f"data folder: {name}": _folder(*how) for name, how in FOLDER_DAMAGES.items()},
    "data folder: audio features": _features,
    "data folder: no plain files": _no_files,
    **{f"bundle: {name}": _bundle(damage) for name, damage in BUNDLE_DAMAGES.items()},
    "bundle: archive": _bundle_archive,
}


def empty(place: Path) -> None:
    """Make the folder of a case, without what another left."""
    if place.exists():
        shutil.rmtree(place)
    os.makedirs(place)  # noqa: PTH103  # pathlib looks at every parent again
