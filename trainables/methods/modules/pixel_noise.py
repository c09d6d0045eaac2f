"""Small noise on the encoder's input, which regularises a deterministic encoder (WAE's code)."""

# Shapes: B rows, X data dimensions.

import math

import torch
from torch import Tensor

from trainables.noise import Noise

SD = 0.01  # in the data's units, before truncation
CUT = 2.0  # truncation, in standard deviations
TAIL = 0.5 * math.erfc(CUT / math.sqrt(2))  # probability of N(0, 1) below -CUT


def truncated(noise: Noise, x_BX: Tensor) -> Tensor:
    """TensorFlow's `truncated_normal`: N(0, 0.01^2) truncated to +-0.02; its standard deviation is 0.0088."""
    u_BX = noise.uniform("pixels", *x_BX.shape[1:])
    return SD * torch.special.ndtri(TAIL + (1 - 2 * TAIL) * u_BX)


def clipped(noise: Noise, x_BX: Tensor) -> Tensor:
    """N(0, 0.01^2) clipped to +-0.01; its standard deviation is 0.0072 (RAE's port of WAE)."""
    return (SD * noise.normal("pixels", *x_BX.shape[1:])).clamp(-SD, SD)


def none(noise: Noise, x_BX: Tensor) -> Tensor:
    return torch.zeros_like(x_BX)


PIXEL_NOISES = {"truncated": truncated, "clipped": clipped, "none": none}
