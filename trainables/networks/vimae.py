"""The networks of VIMAE, taken from the Wasserstein autoencoder (WAE) and its code."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from trainables.common.lazy import LazyModule, nn
from trainables.networks.convolutional import Convolutional, Layers
from trainables.networks.mlp import Mlp
from trainables.networks.network import Layered, blocks

if TYPE_CHECKING:
    from trainables.networks.blocks import Starts

batch_norm = LazyModule("trainables.networks.batch_norm")

SD = 0.01  # of the initial weights
BATCH_NORM = {"eps": 1e-5, "momentum": 0.1}  # TensorFlow's decay 0.9


class WaeNetwork(Layered):
    """Initial weights from N(0, 0.01^2), truncated at two standard deviations in convolutions; initial biases 0."""

    def starts(self) -> Starts:
        normal = partial(blocks.normal, sd=SD)
        return blocks.Starts(partial(blocks.truncated_normal, sd=SD), transposed=normal, last=normal, linear=normal)


class WaeConvolutional(WaeNetwork, Convolutional):
    """Convolutions with batch norm and ReLU, without hidden linear layers; no batch norm on the decoder's first image.

    WAE's rule: the decoder's layers with batch norm double its first image up to the size of the data, and the last
    layer keeps that size. VIMAE states 8x8 for the first image of CIFAR10, which would give 64x64 pixels.
    """

    source: ClassVar[str] = "VIMAE, appendix, and WAE's code"
    normalised: ClassVar[bool] = True

    def after_up(self, width: int) -> list[nn.Module]:
        return [blocks.batch_norm(width, **BATCH_NORM), nn.ReLU()]


COLOUR = Layers(down=(128, 256, 512, 1024), up=(1024, 512, 256, 128), last_stride=1, kernel=5, relu_first=True)


class VimaeMnist(WaeConvolutional):
    """VIMAE's convolutional network for MNIST and Omniglot at 28x28."""

    name: Literal["vimae_mnist"] = "vimae_mnist"
    made_for: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    layers: ClassVar[Layers] = Layers(down=(128, 256, 512, 1024), up=(1024, 512, 256), last_stride=1, relu_first=True)


class VimaeCelebA(WaeConvolutional):
    """VIMAE's convolutional network for CelebA at 64x64."""

    name: Literal["vimae_celeba"] = "vimae_celeba"
    made_for: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    layers: ClassVar[Layers] = COLOUR


class VimaeCifar10(WaeConvolutional):
    """VIMAE's convolutional network for CIFAR10 at 32x32: CelebA's, with a first image of 4x4 by WAE's rule."""

    name: Literal["vimae_cifar10"] = "vimae_cifar10"
    made_for: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    layers: ClassVar[Layers] = COLOUR


class VimaeMlp(WaeNetwork, Mlp):
    """VIMAE's fully connected network for two-dimensional codes of MNIST, with batch norm as in WAE's code."""

    source: ClassVar[str] = "VIMAE, Figure 1, and WAE's code"

    name: Literal["vimae_mlp"] = "vimae_mlp"
    batch_norm: bool = True
    """Batch norm after each hidden layer: before ReLU in the encoder, after it in the decoder."""

    @property
    def normalised(self) -> bool:
        return self.batch_norm

    def after_down(self, width: int) -> list[nn.Module]:
        return [*self._norm(width), nn.ReLU()]

    def after_up(self, width: int) -> list[nn.Module]:
        return [nn.ReLU(), *self._norm(width)]

    def _norm(self, width: int) -> list[nn.Module]:
        return [blocks.batch_norm(width, **BATCH_NORM, of=batch_norm.BatchNorm1d)] if self.batch_norm else []
