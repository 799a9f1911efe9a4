"""The steps `gate` and `export`: may this encoder be shipped, and the file that is."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avatar_worker.recipes.audio_encoder.corpus import line_files, load_line
from avatar_worker.recipes.audio_encoder.feature_step import Windows
from avatar_worker.recipes.audio_encoder.level_check import CHANGES, changed_windows
from avatar_worker.recipes.audio_encoder.live_check import live_difference
from avatar_worker.recipes.audio_encoder.network import Encoder, Heads
from avatar_worker.recipes.audio_encoder.readout import (
    Readout,
    encode_windows,
    encoder_of,
    loudness,
)
from avatar_worker.recipes.audio_encoder.scores import Curves, Score, score
from avatar_worker.recipes.audio_encoder.silence_check import Stillness, stillness

FILE_NAME = "audio_visual_encoder.pth"

LOWEST_R, LOWEST_CLOSURE_F1 = 0.75, 0.80
HIGHEST_STD, HIGHEST_DIFFERENCE = 0.02, 1e-5
_NOISES = ("white -50 dBFS", "pink -50 dBFS")
_MIDDLE = 1
_FIT_WINDOWS = 12_000


Hear = Callable[[Windows], Curves]
"""Windows → mouth parameters `[W, 9]`."""


class GateError(RuntimeError):
    """The encoder is not good enough, or was not judged."""


def encoder_file(state: Mapping[str, Tensor]) -> bytes:
    """A state dict as the file that is shipped: floats as float16, names unchanged."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    buffer = io.BytesIO()
    torch.save({k: v.contiguous().clone() for k, v in half.items()}, buffer)
    return buffer.getvalue()


def gate(work: Path, beside: Path | None = None) -> None:
    """Judge the trained encoder as it would be shipped and print what it can do.

    Writes `work/candidate/` with the file and `gate.json`.

    Args:
        work: The recipe's folder, trained.
        beside: Another encoder file, measured on the same sets by the same linear fit.

    Raises:
        GateError: A bound is not met; everything is printed first.
    """
    trained = torch.load(work / "training.pt", weights_only=True)
    content = encoder_file(trained["encoder"])
    folder = work / "candidate"
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_bytes(content)
    state = torch.load(folder / FILE_NAME, weights_only=True)
    heads = Heads()
    heads.load_state_dict(trained["heads"])
    encoder, readout = encoder_of(state), Readout.of_heads(heads)
    hear = heard_by(encoder, readout)

    scores = test_scores(work, hear)
    print_scores("own heads", scores)
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
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "windows": trained["drawn"],
        "scores": _noted(scores),
        "levels": _noted(levels),
        "stillness": {name: asdict(s) for name, s in still.items()},
        "live_difference": difference,
        "failures": failures,
    }
    (folder / "gate.json").write_text(json.dumps(report, indent=1) + "\n")
    if failures:
        raise GateError("; ".join(failures))
    print("gate passed", flush=True)


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
    """Copy the judged file to `work/export`, with its hash and the gate's report beside it.

    Raises:
        GateError: The gate was not passed, or not by this file.
    """
    candidate, folder = work / "candidate", work / "export"
    if not (candidate / "gate.json").exists():
        raise GateError("no encoder has been judged yet; run the step `gate`")
    report = json.loads((candidate / "gate.json").read_text())
    digest = hashlib.sha256((candidate / FILE_NAME).read_bytes()).hexdigest()
    if report["failures"] or report["sha256"] != digest:
        raise GateError("this encoder has not passed the gate; run the step `gate`")
    folder.mkdir(exist_ok=True)
    for name in (FILE_NAME, "gate.json"):
        shutil.copyfile(candidate / name, folder / name)
    (folder / f"{FILE_NAME}.sha256").write_text(f"{digest}  {FILE_NAME}\n")
    print(f"{folder / FILE_NAME}: {report['bytes']} bytes, sha256 {digest}", flush=True)
    return folder / FILE_NAME


def heard_by(encoder: Encoder, readout: Readout) -> Hear:
    """What an encoder and its readout make of windows."""
    return lambda windows: readout(encode_windows(encoder, windows))


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
    sets = [Windows.load(path) for path in sorted((work / "features").glob("train-*.npz"))]
    everything = Windows.joined(sets)
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
