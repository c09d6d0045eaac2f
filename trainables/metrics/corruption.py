"""Corruptions of images before the encoder, to measure a representation's robustness (VIMAE, section 5.3)."""

# Shapes: B rows, X data dimensions (C, H, W or one).

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trainables.common.lazy import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from trainables.data.base import Range
    from trainables.noise import Noise


def clean(x_BX: Tensor, noise: Noise) -> Tensor:
    return x_BX


def gaussian(x_BX: Tensor, noise: Noise, sd: float) -> Tensor:
    """x + N(0, sd^2), independent per value, not clipped."""
    return x_BX + sd * noise.normal("corruption", *x_BX.shape[1:]).to(x_BX.dtype)


def mask(x_BX: Tensor, noise: Noise, share: float) -> Tensor:
    """Sets each pixel to black, in all channels, with probability `share`."""
    pixels = (1, *x_BX.shape[2:]) if x_BX.ndim == 4 else x_BX.shape[1:]
    return torch.where(noise.uniform("corruption", *pixels) < share, 0.0, x_BX)


def signed(x_BX: Tensor, noise: Noise, corrupt: Callable[[Tensor, Noise], Tensor]) -> Tensor:
    """Applies a corruption to the image in [-1, 1]: Gaussian noise is half as strong, and a masked pixel is grey."""
    return (corrupt(2 * x_BX - 1, noise) + 1) / 2


_NOISY = {
    **{f"gaussian_{sd}": partial(gaussian, sd=sd) for sd in (0.2, 0.3, 0.4)},
    **{f"mask_{share}": partial(mask, share=share) for share in (0.2, 0.5)},
}
CORRUPTIONS: dict[str, Callable[[Tensor, Noise], Tensor]] = {
    "clean": clean,
    **_NOISY,
    **{f"{name}_signed": partial(signed, corrupt=corrupt) for name, corrupt in _NOISY.items()},
}
"""Name -> corruption of images in [0, 1]."""


def corrupted(name: str, x_BX: Tensor, data_range: Range | None, noise: Noise) -> Tensor:
    """Scale images from the data's range to [0, 1], corrupt them and scale them back; unbounded data stay unscaled."""
    low, high = data_range or (0.0, 1.0)
    return CORRUPTIONS[name]((x_BX - low) / (high - low), noise) * (high - low) + low
