"""The fully connected network of MaskAAE. Its discriminator has the same hidden layers; the method builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from trainables.networks.mlp import Mlp
from trainables.networks.network import blocks

if TYPE_CHECKING:
    from trainables.networks.blocks import Starts


class MaskAaeMlp(Mlp):
    """MaskAAE's fully connected network for MNIST: four layers of 1024 units, Glorot normal weights."""

    source: ClassVar[str] = "Mondal et al. 2020, code"

    name: Literal["mask_aae_mlp"] = "mask_aae_mlp"
    hidden: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = (1024, 1024, 1024, 1024)
    """Numbers of units of the encoder's hidden layers, from the data to the code."""

    def starts(self) -> Starts:
        return blocks.Starts(linear=blocks.glorot_normal)
