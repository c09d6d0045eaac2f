"""The architecture that most of the papers' convolutional networks share; Layers is a row of a paper's table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import ClassVar

from trainables.common.lazy import nn
from trainables.networks.network import ImageNetwork, Layered, blocks


@dataclass(frozen=True, kw_only=True)
class Layers:
    """One row of a paper's table. All convolutions, plain and transposed, have stride 2, except the decoder's last."""

    down: tuple[int, ...]  # channels after each convolution of the encoder
    up: tuple[int, ...]  # channels of the decoder's first image, then after each transposed convolution but the last
    last_stride: int = 2  # of the transposed convolution that outputs the data's image
    kernel: int = 4  # width and height of all kernels
    down_kernels: tuple[int, ...] = ()  # of the encoder's convolutions, if they differ
    hidden: tuple[int, ...] = ()  # units of linear layers with ReLU before the encoder's outputs; the decoder mirrors
    relu_first: bool = False  # ReLU on the decoder's first image
    norm_first: bool = False  # then the modules of `after_up`, too
    recentre: bool = False  # the encoder first maps its input from [0, 1] to [-1, 1]

    @property
    def growth(self) -> int:
        """The factor between the sides of the decoder's first image and of the data's."""
        return 2 ** (len(self.up) - 1) * self.last_stride


class Convolutional(Layered, ImageNetwork):
    """Convolutions, then linear layers; linear layers, then transposed convolutions."""

    layers: ClassVar[Layers]

    @property
    def side(self) -> int:
        return self.layers.growth

    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        channels, *size = shape
        layers, shrink = self.layers, 2 ** len(self.layers.down)
        kernels = layers.down_kernels or [layers.kernel] * len(layers.down)
        features = layers.down[-1] * math.prod(math.ceil(n / shrink) for n in size)
        return nn.Sequential(
            *([blocks.Recentre()] if layers.recentre else []),
            *chain.from_iterable(map(self._halve, (channels, *layers.down), layers.down, kernels)),
            nn.Flatten(),
            *blocks.dense((features, *layers.hidden, outputs), self.starts().linear),
        )

    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        channels, *size = shape
        layers = self.layers
        first = (layers.up[0], *(n // layers.growth for n in size))
        last = (layers.up[-1], channels * multiple, layers.kernel, layers.last_stride)
        return nn.Sequential(
            *blocks.dense((latent_dim, *reversed(layers.hidden), math.prod(first)), self.starts().linear),
            nn.Unflatten(1, first),
            *([nn.ReLU()] if layers.relu_first else []),
            *(self.after_up(layers.up[0]) if layers.norm_first else []),
            *chain.from_iterable(self._double(*pair) for pair in pairwise(layers.up)),
            self.starts().last(blocks.SameConvTranspose2d(*last)),
        )

    def _halve(self, channels: int, out: int, kernel: int) -> list[nn.Module]:
        """(B, channels, H, W) -> (B, out, H / 2, W / 2), rounded up."""
        return [self.starts().conv(blocks.SameConv2d(channels, out, kernel, 2)), *self.after_down(out)]

    def _double(self, channels: int, out: int) -> list[nn.Module]:
        """(B, channels, H, W) -> (B, out, 2 H, 2 W)."""
        layer = blocks.SameConvTranspose2d(channels, out, self.layers.kernel, 2)
        return [self.starts().transposed(layer), *self.after_up(out)]
