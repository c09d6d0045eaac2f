"""The convolutional networks of ARD-VAE, for images of 32x32 and 64x64 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from trainables.common.lazy import nn
from trainables.networks.convolutional import Convolutional, Layers
from trainables.networks.network import blocks

if TYPE_CHECKING:
    from trainables.networks.blocks import Starts


class ArdNetwork(Convolutional):
    """Convolutions with batch norm and ReLU, without hidden linear layers."""

    source: ClassVar[str] = "ARD-VAE, supplement, Table 4"
    normalised: ClassVar[bool] = True

    def starts(self) -> Starts:
        return blocks.Starts(conv=blocks.he_normal, transposed=blocks.he_normal)

    def after_up(self, width: int) -> list[nn.Module]:
        return [blocks.batch_norm(width), nn.ReLU()]


# Saha et al., "ARD-VAE", supplement, Table 4. Initial weights and the recentring of the input follow its code, with two
# changes. The code recentres for CelebA too, whose images are in [-1, 1] already. And it initialises all convolutions
# with seed 0; here they depend on the run's seed, so that repeated runs differ in all weights.


class ArdMnist(ArdNetwork):
    """ARD-VAE's convolutional network for MNIST padded to 32x32."""

    name: Literal["ard_mnist"] = "ard_mnist"
    made_for: ClassVar[tuple[int, int, int]] = (1, 32, 32)
    layers: ClassVar[Layers] = Layers(down=(64, 128, 256, 512), up=(512, 256, 128, 64), recentre=True)


class ArdCelebA(ArdNetwork):
    """ARD-VAE's convolutional network for CelebA at 64x64, in [-1, 1]."""

    name: Literal["ard_celeba"] = "ard_celeba"
    made_for: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    layers: ClassVar[Layers] = Layers(down=(64, 128, 256, 512), up=(512, 256, 128, 64), last_stride=1)


class ArdCifar10(ArdNetwork):
    """ARD-VAE's convolutional network for CIFAR10 and ImageNet at 32x32."""

    name: Literal["ard_cifar10"] = "ard_cifar10"
    made_for: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    layers: ClassVar[Layers] = Layers(down=(128, 256, 512, 1024), up=(1024, 512, 256), last_stride=1, recentre=True)


# The same, Table 5, "as Locatello et al."; but those authors' library has other layers, which are the second network.
# ARD-VAE's code has neither, so initial weights are as in Table 4's networks, and the input is not recentred.


class ArdShapes(ArdNetwork):
    """ARD-VAE's convolutional network for DSprites and 3D Shapes at 64x64, without batch norm."""

    source: ClassVar[str] = "ARD-VAE, supplement, Table 5"
    normalised: ClassVar[bool] = False

    name: Literal["ard_shapes"] = "ard_shapes"
    made_for: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    layers: ClassVar[Layers] = Layers(down=(32, 32, 64, 64), up=(64, 64, 32, 32))

    def after_up(self, width: int) -> list[nn.Module]:
        return [nn.ReLU()]


class Locatello(Convolutional):
    """disentanglement_lib's convolutional network for DSprites and 3D Shapes at 64x64, without batch norm."""

    source: ClassVar[str] = "Locatello et al. 2019 and its code"

    name: Literal["locatello"] = "locatello"
    made_for: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    layers: ClassVar[Layers] = Layers(
        down=(32, 32, 64, 64), down_kernels=(4, 4, 2, 2), hidden=(256,), up=(64, 64, 32, 32), relu_first=True
    )
