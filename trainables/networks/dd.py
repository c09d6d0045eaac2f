"""The convolutional network of Mathieu et al., for Fashion-MNIST resized to 32x32 pixels."""

from __future__ import annotations

from typing import ClassVar, Literal

from trainables.common.lazy import nn
from trainables.networks.network import ImageNetwork, blocks

WIDTHS = (32, 64, 128)  # channels after each of the encoder's convolutions
LEAK = 0.2  # slope of the encoder's LeakyReLU below 0
SD = 0.02  # of the initial weights


class DdFashion(ImageNetwork):
    """DD-VAE's convolutional network for Fashion-MNIST resized to 32x32: no linear layers, few biases."""

    source: ClassVar[str] = "Mathieu et al. 2019 and its code; Intel-VAE, appendix C"

    name: Literal["dd_fashion"] = "dd_fashion"
    normalised: ClassVar[bool] = True
    made_for: ClassVar[tuple[int, int, int]] = (1, 32, 32)

    @property
    def side(self) -> int:
        return 2 ** len(WIDTHS)

    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """One convolution of the last image's size computes the outputs of both of the paper's heads."""
        narrow, middle, wide = WIDTHS
        head = nn.Conv2d(wide, outputs, self._smallest(shape))
        return nn.Sequential(
            *(_halve(shape[0], narrow), nn.LeakyReLU(LEAK)),
            *(_halve(narrow, middle), _norm(middle), nn.LeakyReLU(LEAK)),
            *(_halve(middle, wide), _norm(wide), nn.LeakyReLU(LEAK)),
            *(_start(head), nn.Flatten()),
        )

    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        narrow, middle, wide = WIDTHS
        first = nn.ConvTranspose2d(latent_dim, wide, self._smallest(shape), bias=False)
        return nn.Sequential(
            *(nn.Unflatten(1, (latent_dim, 1, 1)), _start(first), _norm(wide), nn.ReLU()),
            *(_double(wide, middle), _norm(middle), nn.ReLU()),
            *(_double(middle, narrow), _norm(narrow), nn.ReLU()),
            _double(narrow, shape[0] * multiple),
        )

    def _smallest(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width of the image between convolutions and code: 4x4 in the paper."""
        return shape[1] // self.side, shape[2] // self.side


def _halve(channels: int, out: int) -> nn.Module:
    return _start(nn.Conv2d(channels, out, 4, 2, padding=1, bias=False))


def _double(channels: int, out: int) -> nn.Module:
    return _start(nn.ConvTranspose2d(channels, out, 4, 2, padding=1, bias=False))


def _start(layer: nn.Module) -> nn.Module:
    return blocks.normal(layer, SD)


def _norm(width: int) -> nn.Module:
    return blocks.batch_norm(width, eps=1e-5, momentum=0.1)
