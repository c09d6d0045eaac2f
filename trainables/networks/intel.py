"""The convolutional networks of Intel-VAE, for MNIST-like images of 28x28 pixels and for CelebA."""

from __future__ import annotations

from typing import ClassVar, Literal

from trainables.common.lazy import nn
from trainables.networks.convolutional import Convolutional, Layers
from trainables.networks.network import blocks

LEAK = 0.2  # slope of the encoder's LeakyReLU below 0


class IntelNetwork(Convolutional):
    """Keras' default layers: Glorot uniform weights, batch norm before every activation."""

    normalised: ClassVar[bool] = True

    def after_down(self, width: int) -> list[nn.Module]:
        return [blocks.batch_norm(width), nn.LeakyReLU(LEAK)]

    def after_up(self, width: int) -> list[nn.Module]:
        return [blocks.batch_norm(width), nn.ReLU()]


# Miao et al., Intel-VAE. For MNIST the paper refers to Mathieu et al.'s network (`dd_fashion`); its code has this one.
# The code's decoders apply ReLU twice: to the first linear layer, and again after the batch norm that follows it.


class IntelMnist(IntelNetwork):
    """Intel-VAE's convolutional network for MNIST and Fashion-MNIST at 28x28."""

    source: ClassVar[str] = "Intel-VAE's code"

    name: Literal["intel_mnist"] = "intel_mnist"
    made_for: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    layers: ClassVar[Layers] = Layers(
        down=(32, 64, 128), up=(128, 64, 32), last_stride=1, relu_first=True, norm_first=True
    )


DOWN = (64, 128, 256)
CELEBA = {
    "table": Layers(down=DOWN, up=(256, 256, 128), norm_first=True),
    "code": Layers(down=DOWN, up=(256, 128, 64), relu_first=True, norm_first=True),
}
"""Layers by form of the decoder. Batch norm of the first image is per channel in both."""


class IntelCelebA(IntelNetwork):
    """Intel-VAE's convolutional network for CelebA at 64x64."""

    source: ClassVar[str] = "Intel-VAE, Table C.2, and its code"

    name: Literal["intel_celeba"] = "intel_celeba"
    made_for: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    decoder_form: Literal["table", "code"] = "table"
    """table: the decoder of Table C.2; code: the narrower decoder of the authors' code."""

    @property
    def layers(self) -> Layers:
        return CELEBA[self.decoder_form]
