"""Mappings from a model's values to the images that feature networks see: values from 0 to 1 in steps of 1/255.

Vectors are no images: `scaled` keeps their digits.
"""

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
SLACK = 1e-4  # of a byte: so that an image made of bytes maps back to the same bytes despite float32 rounding
SMALLEST, LARGEST = 2.0**-126, 1 - 2.0**-24  # the float32 values next to 0 and 1


def unit(x_BX: Tensor, data_range: Range | None) -> Tensor:
    """Scale the data's range to [0, 1] and clip; unbounded data stay as they are."""
    return x_BX if data_range is None else _scaled(x_BX, data_range).clamp(0, 1)


def seen(x_BX: Tensor, data_range: Range | None, mapping: str = "rounded") -> Tensor:
    """The images that a feature network sees, by the mapping of this name; unbounded data stay as they are."""
    if data_range is None:
        return x_BX
    return MAPPINGS[mapping](_scaled(x_BX, data_range) if mapping in UNCUT else unit(x_BX, data_range))


def scaled(x_BX: Tensor) -> Tensor:
    """Values as they are, from 0 to 1 within the data's range."""
    return x_BX


def rounded(x_BX: Tensor) -> Tensor:
    """Round to the nearest byte, as in a PNG file."""
    return (x_BX * 255).round() / 255


def truncated(x_BX: Tensor) -> Tensor:
    """Truncate to the byte below (ARD-VAE's code)."""
    return _bytes_below(x_BX) / 255


def as_jpeg(x_BX: Tensor) -> Tensor:
    """Truncate to bytes, then encode and decode as JPEG of quality 75 (ARD-VAE's code, MNIST). Grey or RGB."""
    bytes_BX = _bytes_below(x_BX).to(torch.uint8).cpu().numpy()
    return torch.from_numpy(np.stack([_through_jpeg(row) for row in bytes_BX])).to(x_BX) / 255


def stretched(x_BX: Tensor) -> Tensor:
    """Scale each image's logits from their smallest and largest value to [0, 1], and round (Intel-VAE's code, grey).

    Values are sigmoids; float32 represents logits from -87 to 16. A constant image becomes black.
    """
    return stretched_raw(x_BX.double().clamp(SMALLEST, LARGEST).logit()).to(x_BX.dtype)


def stretched_raw(x_BX: Tensor) -> Tensor:
    """The same for the raw values of a decoder without a sigmoid, which Intel-VAE's code stretches directly."""
    x_BN = x_BX.double().flatten(1)
    low_B1, high_B1 = x_BN.amin(1, keepdim=True), x_BN.amax(1, keepdim=True)
    width_B1 = torch.where(high_B1 > low_B1, high_B1 - low_B1, 1.0)
    return rounded(((x_BN - low_B1) / width_B1).reshape(x_BX.shape).to(x_BX.dtype))


def wrapped(x_BX: Tensor) -> Tensor:
    """Truncate 255 x toward zero and take it modulo 256, like a cast to uint8 (Intel-VAE's code, colour images).

    Values outside [0, 1] are not clipped: a little above white is black. Only decoders without an output function have
    such values, as with the likelihood `laplace` and `linear: true`.
    """
    bytes_BX = x_BX * 255
    return (bytes_BX + SLACK * bytes_BX.sign()).trunc().remainder(256) / 255


MAPPINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "scaled": scaled,
    "rounded": rounded,
    "truncated": truncated,
    "jpeg": as_jpeg,
    "stretched": stretched,
    "stretched_raw": stretched_raw,
    "wrapped": wrapped,
}
"""Name -> function from (B, C, H, W), in [0, 1] unless the name is in UNCUT, to the same in steps of 1/255; `scaled`
from vectors (B, D) to vectors."""
UNCUT = ("scaled", "stretched_raw", "wrapped")
"""Mappings whose input is not clipped to [0, 1]."""
OF_RAW = {"stretched": "stretched_raw"}
"""Mapping of logits -> its replacement for generated values that are not sigmoids."""
OF_DATA = {"stretched": "rounded", "stretched_raw": "rounded"}
"""Mapping of a decoder's raw outputs -> its replacement for real images, which have none."""


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
