"""The convolutional networks of ARD-VAE, for images of 32x32 and 64x64 pixels."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from torch import nn

from trainables.networks.blocks import (
    Recentre,
    SameConv2d,
    SameConvTranspose2d,
    batch_norm,
    glorot_uniform,
    he_normal,
)
from trainables.networks.network import Network
from trainables.records import Mistake

KERNEL = 4


@dataclass(frozen=True, kw_only=True)
class Layers:
    """One row of the paper's table."""

    shape: tuple[int, int, int]  # (C, H, W) of the images it was made for
    down: tuple[int, ...]  # channels after each convolution of stride 2 with batch norm and ReLU
    up: tuple[int, ...]  # channels of the decoder's first image, then after each transposed convolution, likewise
    last_stride: int  # of the transposed convolution that makes the image
    recentre: bool  # whether the encoder takes its input from [0, 1] to [-1, 1] first

    @property
    def growth(self) -> int:
        """How many times larger the image is than the decoder's first one."""
        return 2 ** (len(self.up) - 1) * self.last_stride


class ArdNetwork(Network):
    """Convolutions and one linear layer; a linear layer and transposed convolutions."""

    layers: ClassVar[Layers]
    source: ClassVar[str] = "ARD-VAE, supplement, Table 4"

    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        channels, height, width = shape
        down, shrink = self.layers.down, 2 ** len(self.layers.down)
        return nn.Sequential(
            *([Recentre()] if self.layers.recentre else []),
            *(halve(*pair) for pair in pairwise((channels, *down))),
            nn.Flatten(),
            glorot_uniform(nn.Linear(down[-1] * (height // shrink) * (width // shrink), outputs)),
        )

    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        channels, height, width = shape
        up, growth = self.layers.up, self.layers.growth
        first = (up[0], height // growth, width // growth)
        return nn.Sequential(
            glorot_uniform(nn.Linear(latent_dim, math.prod(first))),
            nn.Unflatten(1, first),
            *(double(*pair) for pair in pairwise(up)),
            glorot_uniform(SameConvTranspose2d(up[-1], channels * multiple, KERNEL, self.layers.last_stride)),
        )

    def mistakes(self, shape: tuple[int, ...]) -> Iterator[Mistake]:
        needed = self.layers.shape
        if tuple(shape) != needed:
            asked = f"{self.name} is made for images of shape {needed} (channels, height, width)"
            cure = "Choose data of that shape, or the network 'mlp', which takes any"
            yield "name", f"{asked}, but the data has shape {tuple(shape)}. {cure}."


def halve(channels: int, out: int) -> nn.Module:
    """(B, channels, H, W) -> (B, out, H / 2, W / 2)."""
    return nn.Sequential(he_normal(SameConv2d(channels, out, KERNEL, 2)), batch_norm(out), nn.ReLU())


def double(channels: int, out: int) -> nn.Module:
    """(B, channels, H, W) -> (B, out, 2 H, 2 W)."""
    return nn.Sequential(he_normal(SameConvTranspose2d(channels, out, KERNEL, 2)), batch_norm(out), nn.ReLU())


# Saha et al., "ARD-VAE", supplement, Table 4. Initial weights, and where the input is recentred, come from its code,
# with two changes. The code recentres for CelebA too, whose images are in [-1, 1] already. And it starts every run from
# the same convolution weights (seed 0); here they follow the run's seed, so that repeated runs differ in all of them.


class ArdMnist(ArdNetwork):
    """ARD-VAE's convolutional network for MNIST padded to 32x32."""

    name: Literal["ard_mnist"] = "ard_mnist"
    layers: ClassVar[Layers] = Layers(
        shape=(1, 32, 32), down=(64, 128, 256, 512), up=(512, 256, 128, 64), last_stride=2, recentre=True
    )


class ArdCelebA(ArdNetwork):
    """ARD-VAE's convolutional network for CelebA at 64x64, in [-1, 1]."""

    name: Literal["ard_celeba"] = "ard_celeba"
    layers: ClassVar[Layers] = Layers(
        shape=(3, 64, 64), down=(64, 128, 256, 512), up=(512, 256, 128, 64), last_stride=1, recentre=False
    )


class ArdCifar10(ArdNetwork):
    """ARD-VAE's convolutional network for CIFAR10 and ImageNet at 32x32."""

    name: Literal["ard_cifar10"] = "ard_cifar10"
    layers: ClassVar[Layers] = Layers(
        shape=(3, 32, 32), down=(128, 256, 512, 1024), up=(1024, 512, 256), last_stride=1, recentre=True
    )
