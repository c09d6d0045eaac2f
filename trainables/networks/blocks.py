"""Layers that compute exactly what their Keras counterparts do, so that the networks match the papers'.

With Keras's padding "SAME" a convolution of stride s turns n pixels into ceil(n / s), a transposed one n into n * s. If
the number of padding pixels is odd, the extra one comes last, which `Conv2d` and `ConvTranspose2d` do not support.
"""

# Shapes: B rows of a batch, C channels, H height, W width, O pixels along an axis of the output.

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.networks.batch_norm import BatchNorm2d

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
Start = Callable[[Any], Any]
"""Initialises a layer's weights and biases, and returns the layer."""

TRUNCATED_SD = 0.87962566103423978
"""Standard deviation of N(0, 1) truncated at -2 and 2."""


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels that Keras adds before and after an axis of `size` pixels."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """Keras' Conv2D with padding "same": (B, C, H, W) -> (B, out, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int):
        super().__init__(channels, out, kernel, stride)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        top, bottom = same_padding(x_BCHW.shape[2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(x_BCHW.shape[3], self.kernel_size[1], self.stride[1])
        if (top, left) != (bottom, right):  # only this case copies the input
            x_BCHW = F.pad(x_BCHW, (0, right - left, 0, bottom - top))
        return F.conv2d(x_BCHW, self.weight, self.bias, self.stride, padding=(top, left))


class SameConvTranspose2d(nn.ConvTranspose2d):
    """Keras' Conv2DTranspose with padding "same": (B, C, H, W) -> (B, out, H * stride, W * stride).

    It is the adjoint of `SameConv2d` on the larger image. Raises ValueError for a stride above the kernel's size.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int):
        if stride > kernel:
            raise ValueError(f"stride {stride} leaves gaps between kernels of size {kernel}")
        super().__init__(channels, out, kernel, stride, padding=(kernel - stride) // 2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        height, width = (n * s for n, s in zip(x_BCHW.shape[2:], self.stride, strict=True))
        return super().forward(x_BCHW)[..., :height, :width]  # kernel 4, stride 1: one pixel too many, at the end


class Bilinear(nn.Module):
    """Bilinear interpolation of images from one size to another: (B, C, *before) -> (B, C, *after).

    It takes a matrix product per axis. torch's own kernel is slower, and adds up gradients on a GPU in no fixed order.
    """

    def __init__(self, before: tuple[int, int], after: tuple[int, int]):
        super().__init__()
        weights = (F.interpolate(torch.eye(n)[None], m, mode="linear")[0] for n, m in zip(before, after, strict=True))
        for name, weight in zip(("down_HO", "across_WO"), weights, strict=True):
            self.register_buffer(name, weight, persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.down_HO.T @ x_BCHW @ self.across_WO


class Recentre(nn.Module):
    """Maps images from [0, 1] to [-1, 1]."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return 2 * x_BCHW - 1


def batch_norm(width: int, eps: float = 1e-3, momentum: float = 0.01, of: type[nn.Module] = BatchNorm2d) -> nn.Module:
    """Batch norm of images' channels, or of vectors; the defaults are Keras' (its momentum 0.99 is PyTorch's 0.01).

    All networks make their batch norm with this function.
    """
    return of(width, eps=eps, momentum=momentum)


def as_made(layer: Layer) -> Layer:
    """The layer with PyTorch's default initialisation: weights and biases uniform within +-1 / sqrt(fan in)."""
    return layer


def glorot_uniform(layer: Layer) -> Layer:
    """The layer with Keras' default initialisation: weights uniform with variance 2 / (fan in + fan out), biases 0."""
    nn.init.xavier_uniform_(layer.weight)
    return zero_bias(layer)


def glorot_normal(layer: Layer) -> Layer:
    """The layer with Keras' `glorot_normal`: a truncated normal of variance 2 / (fan in + fan out), biases 0."""
    fans = sum(layer.weight.shape[:2]) * layer.weight[0, 0].numel()
    return truncated_normal(layer, math.sqrt(2 / fans) / TRUNCATED_SD)


def he_normal(layer: Layer) -> Layer:
    """The layer with Keras' `he_normal`: weights of variance 2 / fan in, biases 0.

    Keras draws from a normal truncated at two standard deviations, scaled so that the variance after truncation is
    2 / fan in. The fan in of a transposed convolution is, as in Keras, its output channels times the kernel's area.
    """
    return truncated_normal(layer, math.sqrt(2 / layer.weight[0].numel()) / TRUNCATED_SD)


def truncated_normal(layer: Layer, sd: float) -> Layer:
    """The layer with TensorFlow's `truncated_normal`: N(0, sd^2) truncated at 2 sd, of final sd 0.88 sd; biases 0."""
    nn.init.trunc_normal_(layer.weight, std=sd, a=-2 * sd, b=2 * sd)
    return zero_bias(layer)


def normal(layer: Layer, sd: float) -> Layer:
    """The layer with weights from N(0, sd^2), biases 0."""
    nn.init.normal_(layer.weight, std=sd)
    return zero_bias(layer)


def zero_bias(layer: Layer) -> Layer:
    """The layer with biases, if any, set to 0."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class Starts:
    """How a network's layers are initialised. The defaults are Keras'."""

    conv: Start = glorot_uniform
    transposed: Start = glorot_uniform
    last: Start = glorot_uniform  # the transposed convolution that outputs the image
    linear: Start = glorot_uniform


def relu(_width: int) -> list[nn.Module]:
    """ReLU, after a layer of any width."""
    return [nn.ReLU()]


def dense(
    widths: Sequence[int], start: Start = glorot_uniform, after: Callable[[int], list[nn.Module]] = relu
) -> list[nn.Module]:
    """Linear layers from width to width; after each but the last come the modules of `after` for its width."""
    *hidden, last = pairwise(widths)
    body = [module for pair in hidden for module in (start(nn.Linear(*pair)), *after(pair[1]))]
    return [*body, start(nn.Linear(*last))]
