"""Fully connected networks, for vectors and small images."""

import math
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import nn

from trainables.networks.blocks import glorot_uniform
from trainables.networks.network import Network


class Mlp(Network):
    """Fully connected layers with ReLU between them; the decoder mirrors the encoder."""

    source: ClassVar[str] = "VIMAE, Figure 1 (256-256-256); Intel-VAE uses 10-10-10 on synthetic data, its code 10-10"

    name: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = (256, 256, 256)  # a YAML list is a tuple here

    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), *dense((math.prod(shape), *self.hidden, outputs)))

    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        outputs = (shape[0] * multiple, *shape[1:])
        return nn.Sequential(*dense((latent_dim, *reversed(self.hidden), math.prod(outputs))), nn.Unflatten(1, outputs))


def dense(widths: tuple[int, ...]) -> list[nn.Module]:
    """Linear layers from width to width, ReLU between them and none at the end."""
    layers = [(nn.ReLU(), glorot_uniform(nn.Linear(*pair))) for pair in pairwise(widths)]
    return [layer for pair in layers for layer in pair][1:]
