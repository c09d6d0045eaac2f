"""Fully connected networks, for vectors and small images."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from trainables.common.lazy import nn
from trainables.networks.network import Layered, blocks


class Mlp(Layered):
    """Fully connected layers with ReLU between them; the decoder mirrors the encoder."""

    source: ClassVar[str] = "Intel-VAE, appendix C.4 (10-10-10; its code 10-10)"

    name: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = (256, 256, 256)  # not strict: YAML has lists
    """Numbers of units of the encoder's hidden layers, from the data to the code."""

    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        widths = (math.prod(shape), *self.hidden, outputs)
        return nn.Sequential(nn.Flatten(), *blocks.dense(widths, self.starts().linear, self.after_down))

    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        made = (shape[0] * multiple, *shape[1:])
        widths = (latent_dim, *reversed(self.hidden), math.prod(made))
        return nn.Sequential(*blocks.dense(widths, self.starts().linear, self.after_up), nn.Unflatten(1, made))
