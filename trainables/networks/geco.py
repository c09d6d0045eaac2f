"""A network for GECO-L0-ARM-VAE, designed here, as its authors' network is not public."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, Literal

from trainables.common.lazy import nn
from trainables.networks.network import ImageNetwork, blocks

CHANNELS = (32, 64, 128)  # after each of the encoder's convolutions
HIDDEN = 256  # units of the linear layer on either side of the code
KERNEL = 3


class GecoMnist(ImageNetwork):
    """A substitute for the network of GECO-L0-ARM-VAE, of which only the upsampling without weights is known.

    The authors' decoder doubles its image by interpolation, here bilinear, followed by a convolution of stride 1. The
    encoder halves it with convolutions of stride 2; all layers are Keras', with ReLU and without batch norm.
    """

    source: ClassVar[str] = "ours; upsampling without weights: ARD-VAE, Table 5, on De Boom et al. 2020"

    name: Literal["geco_mnist"] = "geco_mnist"
    made_for: ClassVar[tuple[int, int, int]] = (1, 32, 32)

    @property
    def side(self) -> int:
        return 1

    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        return nn.Sequential(
            *(module for pair in pairwise((shape[0], *CHANNELS)) for module in (_convolution(*pair, 2), nn.ReLU())),
            nn.Flatten(),
            *blocks.dense((math.prod(_sizes(shape)[-1]) * CHANNELS[-1], HIDDEN, outputs)),
        )

    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        sizes = _sizes(shape)[::-1]
        first = (CHANNELS[-1], *sizes[0])
        widths = (*reversed(CHANNELS), shape[0] * multiple)
        layers = [
            module
            for growth, pair in zip(pairwise(sizes), pairwise(widths), strict=True)
            for module in (blocks.Bilinear(*growth), _convolution(*pair, 1), nn.ReLU())
        ]
        code = blocks.dense((latent_dim, HIDDEN, math.prod(first)))
        return nn.Sequential(*code, nn.ReLU(), nn.Unflatten(1, first), *layers[:-1])


def _convolution(channels: int, out: int, stride: int) -> nn.Module:
    return blocks.glorot_uniform(blocks.SameConv2d(channels, out, KERNEL, stride))


def _sizes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Height and width of the encoder's images: the data's, then halved and rounded up with each convolution."""
    return [tuple(math.ceil(n / 2**step) for n in shape[1:]) for step in range(len(CHANNELS) + 1)]
