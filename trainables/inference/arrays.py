"""What users pass to a model, and get back: numpy arrays or torch tensors, checked and brought into the data's form."""

# Shapes: B rows, X data dimensions, L latent dimensions.

from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from trainables.common.errors import UsageError
from trainables.data.base import Range

Array = TypeVar("Array", np.ndarray, Tensor)
SLACK = 1e-4  # of the range's width: how far rounding may bring a value out of it


class Form(NamedTuple):
    """How results are given back: as numpy arrays or torch tensors, and on which device."""

    numpy: bool
    device: torch.device

    def of(self, value: Tensor) -> Any:
        """A result in this form, detached from its gradient."""
        value = value.detach()
        return value.cpu().numpy() if self.numpy else value.to(self.device)


def data(x: Array, shape: tuple[int, ...], span: Range | None, device: torch.device) -> tuple[Tensor, Form]:
    """Rows (B, *X) in the data's range: float32, or bytes 0..255, which are scaled as in training.

    Raises UsageError for another shape, type or range, and for values that are not finite.
    """
    x_BX, form = tensor(x, "data")
    expect(x_BX, shape, "data")
    if x_BX.dtype == torch.uint8 and span:
        low, high = span
        return x_BX.to(device, torch.float32).div_(255).mul_(high - low).add_(low), form
    x_BX = floats(x_BX, "data", device)
    if span and x_BX.numel():
        low, high = span
        least, most = x_BX.min().item(), x_BX.max().item()
        slack = SLACK * (high - low)
        if least < low - slack or most > high + slack:
            raise UsageError(
                f"data: values lie in [{least:g}, {most:g}], those of its training in [{low:g}, {high:g}]: scale them, "
                "or pass bytes (uint8) from 0 to 255."
            )
    return x_BX, form


def latents(z: Array, width: int, device: torch.device) -> tuple[Tensor, Form]:
    """Latents (B, L). Raises UsageError for another shape or type, and for values that are not finite."""
    z_BL, form = tensor(z, "latents")
    expect(z_BL, (width,), "latents")
    return floats(z_BL, "latents", device), form


def tensor(value: Array, what: str) -> tuple[Tensor, Form]:
    """A tensor with the values of an array or tensor, and the form of results. Raises UsageError for other types."""
    if isinstance(value, Tensor):
        if value.layout != torch.strided or value.is_meta:
            raise UsageError(f"{what}: a tensor of {value.layout} on {value.device}: pass a dense one with values.")
        return value, Form(False, value.device)
    try:
        array = np.ascontiguousarray(value)
        kind = np.dtype(np.float64) if array.dtype == np.longdouble else array.dtype.newbyteorder("=")
        array = np.require(array.astype(kind, copy=False), requirements="W")  # torch wants it writable
        return torch.from_numpy(array), Form(True, torch.device("cpu"))
    except (TypeError, ValueError):
        kind = getattr(value, "dtype", type(value).__name__)
        raise UsageError(f"{what}: {kind} is no type of numbers: pass a numpy array or a torch tensor.") from None


def expect(value: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Raises UsageError unless the value has rows of this shape."""
    if value.shape[1:] != shape or value.dim() != len(shape) + 1:
        form = ", ".join(["rows", *map(str, shape)])
        one = " Of a single row, pass x[None]." if tuple(value.shape) == shape else ""
        raise UsageError(f"{what}: shape {tuple(value.shape)} does not fit: this model takes ({form}).{one}")


def floats(value: Tensor, what: str, device: torch.device) -> Tensor:
    """The same as float32. Raises UsageError for complex numbers, booleans and values that are not finite."""
    if value.is_complex() or value.dtype == torch.bool:
        raise UsageError(f"{what}: {value.dtype} is no type that this model takes: pass floats.")
    value = value.to(device, torch.get_default_dtype())
    if not value.isfinite().all():
        raise UsageError(f"{what}: some values are not finite.")
    return value
