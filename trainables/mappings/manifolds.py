"""Mappings onto a fixed shape: the whole space, the sphere, and the circle pinched into a chain of loops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from trainables.common.lazy import LazyModule, nn
from trainables.common.records import Mistake
from trainables.mappings.base import Mapping

manifolds = LazyModule("trainables.mappings.modules.manifolds")


class Identity(Mapping):
    """z = y: the plain VAE."""

    source: ClassVar[str] = "Intel-VAE, section 4"

    name: Literal["identity"] = "identity"

    def build(self, latent_dim: int) -> nn.Module:
        return nn.Identity()


class Sphere(Mapping):
    """Projects onto the unit sphere: one hole."""

    source: ClassVar[str] = "Intel-VAE, section 6.1"

    name: Literal["sphere"] = "sphere"

    def build(self, latent_dim: int) -> nn.Module:
        return manifolds.Projection()


class Holes(Mapping):
    """Maps the first two dimensions to a circle pinched into a chain of loops, one per hole; other dimensions stay."""

    source: ClassVar[str] = "Intel-VAE, equation 5 (root over the first term only), continued to any number of holes"

    name: Literal["holes"] = "holes"
    holes: PositiveInt = 2
    """Number of loops of the chain."""
    scale: PositiveFloat = 2.0
    """Half of the chain's length: 1 in equation 5, 2 in the authors' code."""

    def build(self, latent_dim: int) -> nn.Module:
        return manifolds.Chain(self.holes, self.scale)

    def mistakes(self, latent_dim: int) -> Iterator[Mistake]:
        if latent_dim < 2:
            yield "holes", f"holes need 2 latent dimensions, latent_dim is {latent_dim}. Use a larger one."
