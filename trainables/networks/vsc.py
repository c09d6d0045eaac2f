"""The convolutional network of Sparse-VAE (variational sparse coding); its other one is `mlp` with hidden: [400]."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from trainables.networks.convolutional import Convolutional, Layers
from trainables.networks.network import blocks

if TYPE_CHECKING:
    from trainables.networks.blocks import Starts


class VscConv(Convolutional):
    """Sparse-VAE's convolutional network for CelebA at 64x64, without batch norm."""

    source: ClassVar[str] = "Tonolini et al. 2020, code of a reimplementation (Alfo5123)"

    name: Literal["vsc_conv"] = "vsc_conv"
    made_for: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    layers: ClassVar[Layers] = Layers(down=(32, 32, 64, 64), hidden=(256,), up=(64, 64, 32, 32), relu_first=True)

    def starts(self) -> Starts:
        return blocks.Starts(blocks.as_made, blocks.as_made, blocks.as_made, blocks.as_made)
