"""The hierarchical mapping: each group of dimensions is computed from the group above it and its own share of y."""

# Shapes: B rows of a batch, D latent dimensions.

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trainables.mappings.base import Mapping
from trainables.networks.blocks import glorot_uniform
from trainables.records import Mistake


class Hierarchical(Mapping):
    """Splits y into groups and lets each group of z depend on the one before: high-level features shape lower ones."""

    source: ClassVar[str] = "Intel-VAE, appendix B"

    name: Literal["hierarchical"] = "hierarchical"
    # Sizes from top to bottom, summing to latent_dim; default: two halves. The authors' code has, among others,
    # [16, 16, 32] for 64 dimensions, [10, 10, 10, 10, 10] for 50, [8, 8, 8, 8, 32, 32, 32] for 128.
    groups: Annotated[tuple[PositiveInt, ...], Field(strict=False)] | None = None

    def build(self, latent_dim: int) -> nn.Module:
        return Hierarchy(self._groups(latent_dim))

    def mistakes(self, latent_dim: int) -> Iterator[Mistake]:
        groups = self._groups(latent_dim)
        if len(groups) < 2 or min(groups) < 1:
            yield "groups", f"{list(groups)} is no hierarchy: it takes two groups or more, each of a dimension or more."
        elif sum(groups) != latent_dim:
            text = " + ".join(map(str, groups))
            yield "groups", f"{text} = {sum(groups)}, but latent_dim is {latent_dim}. The groups must sum to it."

    def _groups(self, latent_dim: int) -> tuple[int, ...]:
        return (latent_dim // 2, latent_dim - latent_dim // 2) if self.groups is None else self.groups


class Hierarchy(nn.Module):
    """(B, D) -> (B, D): z_0 = y_0 and z_i = ReLU(W_i [z_(i-1), y_i] + b_i), with a linear layer per group but one."""

    def __init__(self, groups: tuple[int, ...]):
        super().__init__()
        self.groups = groups
        self.layers = nn.ModuleList(glorot_uniform(nn.Linear(above + own, own)) for above, own in pairwise(groups))

    def forward(self, y_BD: Tensor) -> Tensor:
        top, *lower = y_BD.split(self.groups, 1)
        z = [top]
        for layer, y in zip(self.layers, lower, strict=True):
            z.append(layer(torch.cat((z[-1], y), 1)).relu())
        return torch.cat(z, 1)
