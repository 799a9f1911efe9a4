"""Changes to log-mel windows, or longer pieces, drawn anew for every sample and step.

All of them act on magnitudes before dB and clip. A batch goes through in one piece: every draw is
a tensor with one row per window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatar_worker.audio.mel import N_BANDS
from avatar_worker.recipes.audio_encoder import mel

_WARP = (0.88, 1.14)
_TILT_DB, _BUMP_DB = 7.0, 7.0
_NOISE_SHARE, _NOISE_LEVEL_DB = 0.65, (-85.0, -22.0)
_LOW_PASS_SHARE, _MASK_SHARE, _MASK_BANDS = 0.15, 0.25, (1.0, 9.0)
_GAIN_DB = (-16.0, 10.0)


class Augmentation:
    """Draws changes with a generator of its own, so a run can be repeated and resumed."""

    def __init__(self, noise: Tensor, generator: torch.Generator) -> None:
        """Keep what the draws need.

        Args:
            noise: Noise bank `[frames, 80]`.
            generator: Source of all draws.
        """
        self._noise = noise
        self._generator = generator
        edges = mel.band_edges_hz()
        self._centres_hz = torch.from_numpy(edges[1:-1])
        self._edge_mels = torch.from_numpy(mel.hz_to_mel(edges[[0, -1]]))
        self._bands = torch.arange(N_BANDS, dtype=torch.float32)[None, :, None]
        self._axis = torch.linspace(-1, 1, N_BANDS)[None]

    def __call__(self, windows: Tensor) -> Tensor:
        """Changed copies of log-mel pieces `[B, 80, columns]`, still natural logarithms."""
        coloured = self._equalised(self._warped(windows))
        noisy = self._limited(self._with_noise(coloured))
        return self._masked(noisy + self._draw(*_GAIN_DB, like=windows) * mel.DB)

    def _draw(self, low: float, high: float, like: Tensor) -> Tensor:
        uniform = torch.rand(len(like), 1, 1, generator=self._generator)
        return uniform * (high - low) + low

    def _chosen(self, share: float, like: Tensor) -> Tensor:
        return self._draw(0, 1, like) < share

    def _warped(self, windows: Tensor) -> Tensor:
        """Bands read at other frequencies: a longer or shorter vocal tract."""
        wanted_hz = self._centres_hz * self._draw(*_WARP, like=windows)[:, 0].double()
        mels = torch.from_numpy(mel.hz_to_mel(wanted_hz.numpy()))
        low, high = self._edge_mels
        position = ((mels - low) / (high - low) * (N_BANDS + 1) - 1).clamp(0, N_BANDS - 1)
        below = position.floor().long().clamp(max=N_BANDS - 2)
        share = (position - below).float()[..., None]
        index = below[..., None].expand(-1, -1, windows.shape[2])
        return windows.gather(1, index) * (1 - share) + windows.gather(1, index + 1) * share

    def _bump(self, height_db: float, widths: tuple[float, float], like: Tensor) -> Tensor:
        """A bell over the bands `[B, 80]` in dB."""
        height = self._draw(-height_db, height_db, like)[:, 0]
        centre, width = self._draw(-1, 1, like)[:, 0], self._draw(*widths, like=like)[:, 0]
        return height * torch.exp(-(((self._axis - centre) / width) ** 2))

    def _equalised(self, windows: Tensor) -> Tensor:
        """A tilt and two bumps: other microphones."""
        colour_db = self._draw(-_TILT_DB, _TILT_DB, windows)[:, 0] * self._axis
        for _ in range(2):
            colour_db = colour_db + self._bump(_BUMP_DB, (0.08, 0.5), windows)
        return windows + (colour_db * mel.DB)[..., None]

    def _with_noise(self, windows: Tensor) -> Tensor:
        """Coloured noise with a real texture, its power added."""
        level_db = self._draw(*_NOISE_LEVEL_DB, like=windows)[:, 0]
        level_db = level_db + self._draw(-14, 14, windows)[:, 0] * self._axis
        level_db = level_db + self._bump(6, (0.3, 0.3), windows)
        n_columns = windows.shape[2]
        last = len(self._noise) - n_columns
        first = torch.randint(last + 1, (len(windows), 1), generator=self._generator)
        texture = self._noise[first + torch.arange(n_columns)].transpose(1, 2)
        noise = (level_db * mel.DB)[..., None] + texture
        chosen = self._chosen(_NOISE_SHARE, windows)
        return torch.where(chosen, torch.logaddexp(2 * windows, 2 * noise) / 2, windows)

    def _limited(self, windows: Tensor) -> Tensor:
        """Nothing above some band: a telephone."""
        top = torch.where(
            self._chosen(_LOW_PASS_SHARE, windows),
            self._draw(N_BANDS / 2, N_BANDS, windows),
            torch.tensor(float(N_BANDS)),
        )
        return windows.masked_fill(self._bands > top, mel.FLOOR)

    def _masked(self, windows: Tensor) -> Tensor:
        """A few neighbouring bands missing."""
        first = self._draw(0, N_BANDS - _MASK_BANDS[1], windows)
        beyond = first + self._draw(*_MASK_BANDS, like=windows)
        hidden = (self._bands >= first) & (self._bands < beyond)
        return windows.masked_fill(hidden & self._chosen(_MASK_SHARE, windows), mel.FLOOR)


def network_scale(log_magnitude: Tensor) -> Tensor:
    """`mel.network_scale` for tensors."""
    return (8 * (log_magnitude / mel.DB - 20 + 100) / 100 - 4).clamp(-4, 4)
