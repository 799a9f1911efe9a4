"""The valid inputs that mutations start from: real in every respect, and as small as can be.

Made once into a folder; other processes open the same folder.

    head.pth  torso.pth  hubert.pth    tables of zeros, deflated
    encoder.pth                        likewise
    trained.pth                        a head with real numbers
    data/                              four frames of 128 × 128, with sound
    bundle/  bundle.zip                made of the above by `import_bundle`
"""

import io
import json
import os
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from avatar_worker.audio.encoder import expected_tensors
from avatar_worker.import_bundle import BundleOptions, write_bundle
from avatar_worker.render.checkpoint_layout import detect_flavour, expected_shapes, torso_shapes
from avatar_worker.render.encodings import level_offsets, torso_levels
from avatar_worker.trained import open_trained
from tests.mutations.archives import pack, records
from tests.unit.avatar_worker import mini

N_FRAMES: Final = 4
OPTIONS: Final = BundleOptions(name="mini", licence="Apache-2.0", consent="drawn, nobody")


class Seeds:
    """The valid inputs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.bundle = folder / "bundle"

    @classmethod
    def make(cls, folder: Path) -> "Seeds":
        """Write them."""
        folder.mkdir(parents=True, exist_ok=True)
        head = torch.load(mini.MALFORMED / "skeleton_ok.pth", weights_only=True)
        del head["model"]["density_grid"]
        head["model"]["individual_codes"] = torch.zeros(
            8, head["model"]["individual_codes"].shape[1]
        )
        _save(folder / "head.pth", head)
        _save(folder / "torso.pth", {**head, "model": {**head["model"], **_torso()}})
        _save(folder / "hubert.pth", {**head, "model": _hubert(head["model"])})
        encoder = {key: torch.zeros(shape) for key, shape in expected_tensors(context=True).items()}
        _save(folder / "encoder.pth", encoder)
        shutil.copy(next((mini.WORKSPACE / "checkpoints").iterdir()), folder / "trained.pth")
        for split in ("train", "val"):
            _copy_frames(mini.DATA, folder / "data", split)
        for name in ("aud.wav", "bc.jpg", "bs.npy"):
            shutil.copy(mini.DATA / name, folder / "data" / name)
        rows = "".join(f"{index}, {index / 10:.2f}\n" for index in range(32))
        (folder / "data" / "au.csv").write_text(f"frame, AU45_r\n{rows}")
        trained = open_trained(folder / "data", folder, checkpoint=str(folder / "head.pth"))
        for out in (folder / "bundle", folder / "bundle.zip"):
            write_bundle(trained, out, OPTIONS, encoder=folder / "encoder.pth")
        return cls(folder)

    def content(self, name: str) -> bytes:
        """Bytes of one of the files."""
        if name not in self._contents:
            self._contents[name] = (self.folder / name).read_bytes()
        return self._contents[name]

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        return {}

    def state(self, name: str) -> dict[str, Any]:
        """A fresh copy of what is in `head`, `torso` or `encoder`; tensors are shared."""
        if name not in self._states:
            self._states[name] = torch.load(self.folder / f"{name}.pth", weights_only=True)
        state = dict(self._states[name])
        if "model" in state:
            state["model"] = dict(state["model"])
        return state

    @cached_property
    def _states(self) -> dict[str, dict[str, Any]]:
        return {}

    def linked(self, name: str, place: Path) -> Path:
        """The data folder or the bundle again, by hard links: replace a file, never change it."""
        target = place / name
        shutil.copytree(self.folder / name, target, copy_function=os.link)
        return target


def _save(path: Path, content: object) -> None:
    """As `torch.save` does, but deflated."""
    path.write_bytes(pack(records(torch_file(content))))


def torch_file(content: object) -> bytes:
    """What `torch.save` writes."""
    target = io.BytesIO()
    torch.save(content, target)
    return target.getvalue()


def _torso() -> dict[str, Tensor]:
    """The smallest torso that is drawn: occupied in one corner."""
    tensors = {key: torch.zeros(shape) for key, shape in torso_shapes().items()}
    tensors["anchor_points"] = torch.tensor([[0.1, 0, 0, 1], [0, 0.1, 0, 1], [0, 0, 0.1, 1.0]])
    tensors["density_grid_torso"][: 128 * 16] = 1.0
    offsets = level_offsets(torso_levels())
    tensors["torso_encoder.offsets"] = torch.tensor(offsets, dtype=torch.int32)
    tensors["individual_codes_torso"] = torch.zeros(2, 8)
    return tensors


def _hubert(model: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same head for another kind of audio features."""
    kept = {key: tensor for key, tensor in model.items() if not key.startswith("audio_net.")}
    kept["audio_net.encoder_conv.0.weight"] = torch.zeros(32, 1024, 3)
    shapes = expected_shapes(detect_flavour(kept))
    return {
        **{key: torch.zeros(shapes[key]) for key in shapes if key.startswith("audio_net.")},
        **kept,
    }


def _copy_frames(source: Path, target: Path, split: str) -> None:
    transforms = json.loads((source / f"transforms_{split}.json").read_text())
    transforms["frames"] = transforms["frames"][:N_FRAMES]
    for frame in transforms["frames"]:
        for name in _pictures(frame["img_id"]):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)
    (target / f"transforms_{split}.json").write_text(json.dumps(transforms))


def _pictures(image_id: int) -> Iterator[str]:
    for folder, ending in (("gt_imgs", ".jpg"), ("ori_imgs", ".jpg"), ("torso_imgs", ".png")):
        yield f"{folder}/{image_id}{ending}"
    yield f"parsing/{image_id}_face.png"
