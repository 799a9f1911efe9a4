"""The steps `gate` and `export`: may these ears be shipped, and the files that are."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from avatar_worker.audio.context import Context
from avatar_worker.audio.encoder import expected_tensors
from avatar_worker.recipes.audio_encoder.corpus import line_files, load_line
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.hearing import HeardFrames, MouthNetworks
from avatar_worker.recipes.audio_encoder.level_check import CHANGES, changed_windows
from avatar_worker.recipes.audio_encoder.live_check import live_difference
from avatar_worker.recipes.audio_encoder.network import Encoder, Heads, TrainedContext
from avatar_worker.recipes.audio_encoder.readout import (
    Readout,
    encode_windows,
    encoder_of,
    loudness,
)
from avatar_worker.recipes.audio_encoder.scores import Curves, Score, score
from avatar_worker.recipes.audio_encoder.silence_check import Stillness, stillness
from avatar_worker.recipes.audio_encoder.training_run import (
    HEARING_FILE,
    SETTLED_FILE,
    finished_state,
    training_windows,
)
from avatar_worker.train.hearing import CONTEXT_ENCODER_FILE, NETWORKS_FILE

FILE_NAME = "audio_visual_encoder.pth"
FILES = (FILE_NAME, CONTEXT_ENCODER_FILE, NETWORKS_FILE)

LOWEST_R, LOWEST_CLOSURE_F1 = 0.75, 0.80
HIGHEST_STD, HIGHEST_DIFFERENCE = 0.02, 1e-5
_NOISES = ("white -50 dBFS", "pink -50 dBFS")
_MIDDLE = 1
_SETTLING = ("context", "networks")
_FIT_WINDOWS = 12_000


Hear = Callable[[Windows], Curves]
"""Windows → mouth parameters `[W, 9]`."""


class GateError(RuntimeError):
    """The ears are not good enough, or were not judged."""


def encoder_file(state: Mapping[str, Tensor]) -> bytes:
    """A state dict as the file that is shipped: floats as float16, names unchanged."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    buffer = io.BytesIO()
    torch.save({k: v.contiguous().clone() for k, v in half.items()}, buffer)
    return buffer.getvalue()


def gate(work: Path, beside: Path | None = None) -> None:
    """Judge what was trained as it would be shipped and print what it can do.

    Writes `work/candidate/` with the files and `gate.json`.

    Args:
        work: The recipe's folder, trained.
        beside: Another encoder file, measured on the same sets by the same linear fit.

    Raises:
        NotTrainedError: The step `settle` was not run to its end.
        GateError: A bound is not met; everything is printed first.
    """
    trained = trained_ears(work)
    contents = shipped_files(trained)
    folder = work / "candidate"
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    state = torch.load(folder / FILE_NAME, weights_only=True)
    heads = Heads()
    heads.load_state_dict(trained["heads"])
    encoder, readout = encoder_of(state), Readout.of_heads(heads)
    hear = heard_by(encoder, readout)

    scores = test_scores(work, hear)
    print_scores("own heads", scores)
    in_context = test_scores(work, heard_in_context(encoder, trained))
    print_scores("context and audio networks", in_context)
    levels = level_scores(work, hear)
    print_scores("joe, Pico and Allison together", levels)
    still = stillness(encoder, readout)
    print_stillness(still)
    joe = [load_line(path).utterance.samples for path in line_files(work / "speech/test-joe")[:4]]
    difference = live_difference(state, np.concatenate(joe))
    print(f"live against whole file: {difference:.1e}", flush=True)
    if beside is not None:
        compare(work, {"this": encoder, beside.name: _encoder_at(beside)})

    failures = verdict(scores["test-joe"], still, difference)
    report = {
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "scores": _noted(scores),
        "in_context": _noted(in_context),
        "levels": _noted(levels),
        "stillness": {name: asdict(s) for name, s in still.items()},
        "live_difference": difference,
        "failures": failures,
    }
    (folder / "gate.json").write_text(json.dumps(report, indent=1) + "\n")
    if failures:
        raise GateError("; ".join(failures))
    print("gate passed", flush=True)


def trained_ears(work: Path) -> dict[str, Any]:
    """Weights of encoder, heads, context and networks.

    The last two are the mean of those before and after settling: on the way they come to hear the
    voices of the training better and those of other engines worse, and halfway has most of both.

    Raises:
        NotTrainedError: The step `settle` was not run to its end.
    """
    together = finished_state(work / HEARING_FILE, "together")
    settled = finished_state(work / SETTLED_FILE, "settle")
    return together | {part: _mean(together[part], settled[part]) for part in _SETTLING}


def _mean(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: (weight + after[key]) / 2 if weight.is_floating_point() else weight
        for key, weight in before.items()
    }


def shipped_files(trained: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of `FILES`, from trained ears."""
    encoder = {key: trained["encoder"][key].half().contiguous() for key in expected_tensors()}
    context = {key: tensor.half() for key, tensor in _context(trained).items()}
    return {
        FILE_NAME: encoder_file(trained["encoder"]),
        CONTEXT_ENCODER_FILE: save(encoder | context),
        NETWORKS_FILE: save(_networks(trained).tensors()),
    }


def _context(trained: Mapping[str, Any]) -> dict[str, Tensor]:
    context = TrainedContext()
    context.load_state_dict(trained["context"])
    return context.tensors()


def _networks(trained: Mapping[str, Any]) -> MouthNetworks:
    networks = MouthNetworks()
    networks.load_state_dict(trained["networks"])
    return networks


def _noted(scores: Mapping[str, Score]) -> dict[str, dict[str, object]]:
    return {name: asdict(s) | {"mean_r": s.mean_r} for name, s in scores.items()}


def verdict(joe: Score, still: Mapping[str, Stillness], difference: float) -> list[str]:
    """What is not good enough; empty for an encoder that may be shipped."""
    worst = max(still[noise].worst_std for noise in _NOISES)
    bounds = {
        f"r {joe.mean_r:.3f} below {LOWEST_R}": joe.mean_r < LOWEST_R,
        f"closure F1 {joe.closure.f1:.2f} below {LOWEST_CLOSURE_F1}": (
            joe.closure.f1 < LOWEST_CLOSURE_F1
        ),
        f"lag of {joe.lag_frames} frames": joe.lag_frames != 0,
        f"σ {worst:.3f} in -50 dBFS noise above {HIGHEST_STD}": worst > HIGHEST_STD,
        f"live differs by {difference:.1e}": difference > HIGHEST_DIFFERENCE,
    }
    return [sentence for sentence, is_broken in bounds.items() if is_broken]


def export(work: Path) -> Path:
    """Copy the judged files to `work/export`, with their hashes and the gate's report beside them.

    Raises:
        GateError: The gate was not passed, or not by these files.
    """
    candidate, folder = work / "candidate", work / "export"
    if not (candidate / "gate.json").exists():
        raise GateError("nothing has been judged yet; run the step `gate`")
    report = json.loads((candidate / "gate.json").read_text())
    found = {name: hashlib.sha256((candidate / name).read_bytes()).hexdigest() for name in FILES}
    if report["failures"] or report["sha256"] != found:
        raise GateError("these files have not passed the gate; run the step `gate`")
    folder.mkdir(exist_ok=True)
    for name in (*FILES, "gate.json"):
        shutil.copyfile(candidate / name, folder / name)
    sums = "".join(f"{digest}  {name}\n" for name, digest in found.items())
    (folder / "SHA256SUMS").write_text(sums)
    print(sums, end="", flush=True)
    return folder


def heard_by(encoder: Encoder, readout: Readout) -> Hear:
    """What an encoder and its readout make of windows."""
    return lambda windows: readout(encode_windows(encoder, windows))


def heard_in_context(encoder: Encoder, trained: Mapping[str, Any]) -> Hear:
    """What trained audio networks make of windows, their features read in their context."""
    networks = _networks(trained)
    context = Context({key: tensor.half() for key, tensor in _context(trained).items()})

    def hear(windows: Windows) -> Curves:
        heard = HeardFrames.of(windows, encode_windows(encoder, windows))
        return networks.mouth(heard.in_context(context))

    return hear


def test_scores(work: Path, hear: Hear) -> dict[str, Score]:
    """A score for every test set that has features."""
    sets = {path.stem: path for path in sorted((work / "features").glob("test-*.npz"))}
    return {name: _score(Windows.load(path), hear) for name, path in sets.items()}


def level_scores(work: Path, hear: Hear) -> dict[str, Score]:
    """A score for every change of level and noise."""
    made = {name: changed_windows(work, *change) for name, change in CHANGES.items()}
    return {name: _score(windows, hear) for name, windows in made.items() if windows is not None}


def _score(windows: Windows, hear: Hear) -> Score:
    return score(_labels(windows), hear(windows), windows.sounds)


def compare(work: Path, encoders: Mapping[str, Encoder]) -> None:
    """Print the scores of several encoders, each read out by a linear fit on the same windows.

    The loudness of a window's columns is read out beside them: what can be guessed without
    listening to what is said.
    """
    everything = training_windows(work)
    shuffled = np.random.default_rng(0).permutation(len(everything.starts))
    part = everything.picked(np.sort(shuffled[:_FIT_WINDOWS]))
    blind = Readout.fitted(loudness(part), _labels(part))
    print_scores("linear fit, loudness alone", test_scores(work, lambda w: blind(loudness(w))))
    for name, encoder in encoders.items():
        readout = Readout.fitted(encode_windows(encoder, part), _labels(part))
        print_scores(f"linear fit, {name}", test_scores(work, heard_by(encoder, readout)))
        print_stillness(stillness(encoder, readout))


def print_scores(title: str, scores: Mapping[str, Score]) -> None:
    """A table in Markdown."""
    columns = "set (min) | jaw aper close round r | mean r / R² | closure F1 | lab F1 | lag"
    print(f"\n{title}\n\n| {columns} |\n|---|---|---|---|---|---|")
    for name, s in scores.items():
        first = " ".join(f"{r:.2f}" for r in s.r[:4])
        closure = f"{s.closure.f1:.2f} ({s.closure.recall:.2f}, {s.closure.precision:.2f})"
        lag = f"{s.lag_frames} frames, {s.lag_ms:+.0f} ms"
        print(
            f"| {name.removeprefix('test-')} ({s.frames / 1500:.1f}) | {first} "
            f"| {s.mean_r:.3f} / {s.r2:.3f} | {closure} | {s.labiodental.f1:.2f} | {lag} |",
            flush=True,
        )


def print_stillness(still: Mapping[str, Stillness]) -> None:
    """A table in Markdown."""
    print("\n| without speech | highest mean | worst σ |\n|---|---|---|")
    for name, s in still.items():
        print(f"| {name} | {s.highest_mean:.3f} | {s.worst_std:.4f} |", flush=True)


def _labels(windows: Windows) -> np.ndarray:
    return windows.targets[:, _MIDDLE].astype(np.float32)


def _encoder_at(path: Path) -> Encoder:
    return encoder_of(torch.load(path, map_location="cpu", weights_only=True))
