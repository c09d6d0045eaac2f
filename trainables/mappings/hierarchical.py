"""The hierarchical mapping: each group of dimensions of z depends on the group above it and its own part of y."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from trainables.common.lazy import LazyModule, nn
from trainables.common.records import Mistake
from trainables.mappings.base import Mapping

hierarchical = LazyModule("trainables.mappings.modules.hierarchical")


class Hierarchical(Mapping):
    """Splits y into groups; each group of z depends on the one before, as low-level features on high-level ones."""

    source: ClassVar[str] = "Intel-VAE, appendix B"

    name: Literal["hierarchical"] = "hierarchical"
    groups: Annotated[tuple[PositiveInt, ...], Field(strict=False)] | None = None
    """Sizes of the groups from top to bottom; they sum to latent_dim. Default: two halves. The authors' code has, among
    others, [16, 16, 32] for 64 dimensions, [10, 10, 10, 10, 10] for 50, [8, 8, 8, 8, 32, 32, 32] for 128."""

    def build(self, latent_dim: int) -> nn.Module:
        return hierarchical.Hierarchy(self._groups(latent_dim))

    def mistakes(self, latent_dim: int) -> Iterator[Mistake]:
        groups = self._groups(latent_dim)
        if len(groups) < 2 or min(groups) < 1:
            yield "groups", f"{list(groups)} is no hierarchy: it takes two groups or more, each of a dimension or more."
        elif sum(groups) != latent_dim:
            text = " + ".join(map(str, groups))
            yield "groups", f"{text} = {sum(groups)}, but latent_dim is {latent_dim}. The groups must sum to it."

    def _groups(self, latent_dim: int) -> tuple[int, ...]:
        return (latent_dim // 2, latent_dim - latent_dim // 2) if self.groups is None else self.groups
