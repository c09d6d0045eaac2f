"""How a model's values become the images that feature networks see: values from 0 to 1 in steps of 1/255."""

# Shapes: B rows, X data dimensions (C, H, W).

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from trainables.common.lazy import Image, np, torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from trainables.data.base import Range

JPEG_QUALITY = 75
SLACK = 1e-4  # of a byte: an image that was made of bytes becomes these bytes, whatever float32 has lost on the way
SMALLEST, LARGEST = 2.0**-126, 1 - 2.0**-24  # of float32, beside 0 and 1


def unit(x_BX: Tensor, data_range: Range | None) -> Tensor:
    """The data's range made [0, 1]; what lies outside is cut off. Data without bounds stay as they are."""
    return x_BX if data_range is None else _scaled(x_BX, data_range).clamp(0, 1)


def seen(x_BX: Tensor, data_range: Range | None, mapping: str = "rounded") -> Tensor:
    """What a feature network sees of values in the data's range, by a mapping's name. Data without bounds: the same."""
    if data_range is None:
        return x_BX
    return MAPPINGS[mapping](_scaled(x_BX, data_range) if mapping in UNCUT else unit(x_BX, data_range))


def rounded(x_BX: Tensor) -> Tensor:
    """To the nearest byte, as a PNG file would hold it."""
    return (x_BX * 255).round() / 255


def truncated(x_BX: Tensor) -> Tensor:
    """To the byte below (ARD-VAE's code)."""
    return _bytes_below(x_BX) / 255


def as_jpeg(x_BX: Tensor) -> Tensor:
    """To the byte below, then through a JPEG file of quality 75 (ARD-VAE's code, MNIST). Grey or RGB."""
    bytes_BX = _bytes_below(x_BX).to(torch.uint8).cpu().numpy()
    return torch.from_numpy(np.stack([_through_jpeg(row) for row in bytes_BX])).to(x_BX) / 255


def stretched(x_BX: Tensor) -> Tensor:
    """Each image's logits from its least to its greatest value, then rounded (Intel-VAE's code, grey images).

    Values are sigmoids, of which float32 knows the logits from -87 to 16. An image of one value becomes black.
    """
    return stretched_raw(x_BX.double().clamp(SMALLEST, LARGEST).logit()).to(x_BX.dtype)


def stretched_raw(x_BX: Tensor) -> Tensor:
    """The same of values that no sigmoid has made: they are what Intel-VAE's code stretches."""
    x_BN = x_BX.double().flatten(1)
    low_B1, high_B1 = x_BN.amin(1, keepdim=True), x_BN.amax(1, keepdim=True)
    width_B1 = torch.where(high_B1 > low_B1, high_B1 - low_B1, 1.0)
    return rounded(((x_BN - low_B1) / width_B1).reshape(x_BX.shape).to(x_BX.dtype))


def wrapped(x_BX: Tensor) -> Tensor:
    """Toward zero to a whole number, of which a byte keeps the rest by 256 (Intel-VAE's code, colour images).

    Values beyond [0, 1] are not cut off: a little more than white is black. Only decoders without an output function,
    as of the likelihood `laplace` that is `linear`, have such values.
    """
    bytes_BX = x_BX * 255
    return (bytes_BX + SLACK * bytes_BX.sign()).trunc().remainder(256) / 255


MAPPINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "rounded": rounded,
    "truncated": truncated,
    "jpeg": as_jpeg,
    "stretched": stretched,
    "stretched_raw": stretched_raw,
    "wrapped": wrapped,
}
"""Name -> from (B, C, H, W) in [0, 1], where it is not in UNCUT, to the same in steps of 1/255."""
UNCUT = ("stretched_raw", "wrapped")
"""Mappings that get values beyond [0, 1] as they are."""
OF_RAW = {"stretched": "stretched_raw"}
"""What is done to generated values that are no sigmoids where a mapping is of their logits."""
OF_DATA = {"stretched": "rounded", "stretched_raw": "rounded"}
"""What is done to real images where a mapping is of a decoder's raw outputs, which they do not have."""


def _bytes_below(x_BX: Tensor) -> Tensor:
    return (x_BX * 255 + SLACK).floor()


def _scaled(x_BX: Tensor, data_range: Range) -> Tensor:
    low, high = data_range
    return (x_BX - low) / (high - low)


def _through_jpeg(row_CHW: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(row_CHW[0] if len(row_CHW) == 1 else row_CHW.transpose(1, 2, 0))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    back = np.asarray(Image.open(stream))
    return back[None] if back.ndim == 2 else back.transpose(2, 0, 1)
