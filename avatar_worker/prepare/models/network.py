"""Networks as files of a package, run on the CPU.

The weights lie in the `mediapipe` wheel, of which nothing is imported: its own dependencies
contradict ours, so it is installed without them, for its files.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from avatar_worker.prepare.errors import ModelsMissingError

INSTALL: Final = "make models"
"""What brings the networks."""

WEIGHTS: Final = {
    "detector": "face_detection/face_detection_short_range.tflite",
    "mesh": "face_landmark/face_landmark.tflite",
    "iris": "iris_landmark/iris_landmark.tflite",
    "person": "selfie_segmentation/selfie_segmentation.tflite",
}
"""Name → file below the package's `modules`."""


class Network:
    """One network; takes one picture, gives its outputs in the file's order."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        path = weights_file(name)
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise ModelsMissingError(missing("ai-edge-litert")) from None
        self._interpreter: Any = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        self._outputs: list[int] = [o["index"] for o in self._interpreter.get_output_details()]

    def __call__(self, picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Run on a picture [h, w, 3] of the size that the network takes."""
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(picture[None], np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


def weights_file(name: str) -> Path:
    """Where the weights of a network lie.

    Raises:
        ModelsMissingError: the package is absent, or is a version without them.
    """
    package = importlib.util.find_spec("mediapipe")  # found, not imported
    if package is None or not package.submodule_search_locations:
        raise ModelsMissingError(missing("mediapipe"))
    path = Path(package.submodule_search_locations[0]) / "modules" / WEIGHTS[name]
    if not path.is_file():
        raise ModelsMissingError(
            f"the installed mediapipe has no {WEIGHTS[name]} (0.10.21 is the last release with "
            f"its networks inside). Install that one with: {INSTALL}"
        )
    return path


def missing(package: str) -> str:
    """What to say when a package is absent."""
    return (
        f"preparing needs the package {package}, which brings the networks that find a face and "
        f"is not installed here. Install it with: {INSTALL}"
    )
