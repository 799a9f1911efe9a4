"""What a feature means after the seven before it.

The audio-visual encoder looks at 0.2 s of sound; its file may hold a second network, which reads a
feature together with the seven before it and makes one of the same kind of them. A character
whose eight features (`window`) come from there hears the first of them with 0.28 s more behind
it; nothing is heard later than without.

Six layers of convolution over time, without padding, each followed by ReLU; the inner four add
their input. Eight features become one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d

from avatar_worker.audio.threads import one_thread

PREFIX: Final = "context."
CONTEXT_FEATURES: Final = 8
WIDTH: Final = 192
KERNELS: Final = (1, 3, 3, 3, 2, 1)
FEATURE_DIM: Final = 512


def context_tensors() -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor of the network."""
    sizes = (FEATURE_DIM, *[WIDTH] * (len(KERNELS) - 1), FEATURE_DIM)
    shapes: dict[str, tuple[int, ...]] = {}
    for index, kernel in enumerate(KERNELS):
        shapes[f"{PREFIX}{index}.weight"] = (sizes[index + 1], sizes[index], kernel)
        shapes[f"{PREFIX}{index}.bias"] = (sizes[index + 1],)
    return shapes


def has_context(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors of an encoder file hold this network."""
    return any(key.startswith(PREFIX) for key in state)


def through(
    layers: Iterable[Callable[[Tensor], Tensor]], features: Float[Tensor, "n t 512"]
) -> Float[Tensor, "n t-7 512"]:
    """The network's arithmetic, whatever its convolutions are, in training or in use."""
    x = features.transpose(1, 2)
    for kernel, layer in zip(KERNELS, layers, strict=True):
        y = layer(x)
        if kernel > 1:  # the steps under the kernel's middle
            y = y + x[:, :, kernel // 2 : x.shape[2] - (kernel - 1) // 2]
        x = torch.relu(y)
    return x.transpose(1, 2)


class Context:
    """The network; stateless.

    Args:
        state: tensors of an encoder file, checked.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._layers = [
            partial(
                conv1d,
                weight=state[f"{PREFIX}{n}.weight"].float(),
                bias=state[f"{PREFIX}{n}.bias"].float(),
            )
            for n in range(len(KERNELS))
        ]

    @torch.inference_mode()
    def read(self, features: Float[Tensor, "n t 512"]) -> Float[Tensor, "n t-7 512"]:
        """Sequences of features, each one but the first seven after those before it."""
        return through(self._layers, features)

    @one_thread()
    def last(self, features: list[Tensor]) -> Float[Tensor, "512"]:
        """The last of eight features. The result is that of `Context.read` for them alone."""
        return self.read(torch.stack(features)[None])[0, 0]


class Recent:
    """Features of a sound that is still arriving, read in context where there is one.

    Before the first one it is as if that had been heard for ever.
    """

    def __init__(self, context: Context | None, features: Iterable[Tensor] = ()) -> None:
        self._context = context
        self._features = deque(features, maxlen=CONTEXT_FEATURES)

    def copy(self) -> "Recent":
        """State that goes on from here by itself."""
        return Recent(self._context, self._features)

    def add(self, feature: Float[Tensor, "512"]) -> Float[Tensor, "512"]:
        """The next feature, and what it means."""
        if self._context is None:
            return feature
        self._features.extend([feature] * (1 if self._features else CONTEXT_FEATURES))
        return self._context.last(list(self._features))
