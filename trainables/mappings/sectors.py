"""The cluster mapping: cuts planes into sectors, or axes in two, and pushes the clusters apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, PositiveFloat, Tag

from trainables.common.lazy import LazyModule, nn
from trainables.common.records import Mistake
from trainables.mappings.base import Mapping

sectors = LazyModule("trainables.mappings.modules.sectors")

AtLeastTwo = Annotated[int, Field(ge=2)]
NumberOrList = Annotated[
    Annotated[AtLeastTwo, Tag("number")]
    | Annotated[tuple[AtLeastTwo, ...], Field(strict=False, min_length=1), Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, (list, tuple)) else "number"),  # one message per mistake
]


class Sectors(Mapping):
    """Splits the Gaussian into clusters, sectors of planes or halves of axes, and pushes them apart."""

    source: ClassVar[str] = "Intel-VAE, section 6.2, equation 6, and appendix C.2"

    name: Literal["sectors"] = "sectors"
    clusters: NumberOrList = 2
    """Number of clusters, or of clusters per plane: [5, 2] makes 10 clusters, on dimensions (0, 1) and (2, 3)."""
    on: Literal["planes", "axes"] = "planes"
    """planes: the clusters are sectors of planes; axes: each of the first log2(clusters) dimensions is cut in two."""
    c1: PositiveFloat = 5.0
    """Factor of the push: a point moves by c1 * (its distance to the boundary)**c2, in units of y."""
    c2: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Exponent of the distance to the boundary. The authors' code has 0.5 for images."""
    learned: bool = False
    """Also trains the clusters' proportions: the angles of the sectors, or the boundaries on the axes."""

    def build(self, latent_dim: int) -> nn.Module:
        return sectors.Cuts(sectors.CUTS[self.on](self.per_cut(), self.c1, self.c2, self.learned))

    def per_cut(self) -> tuple[int, ...]:
        """The number of clusters of each plane, or 2 for each axis."""
        if self.on == "axes":
            return (2,) * (self.clusters.bit_length() - 1)
        return (self.clusters,) if isinstance(self.clusters, int) else self.clusters

    def mistakes(self, latent_dim: int) -> Iterator[Mistake]:
        return MISTAKES[self.on](self, latent_dim)


def too_many_planes(spec: Sectors, latent_dim: int) -> Iterator[Mistake]:
    planes = len(spec.per_cut())
    if 2 * planes > latent_dim:
        yield (
            "clusters",
            (
                f"sectors of {planes} plane{'s' * (planes > 1)} need {2 * planes} latent dimensions, latent_dim is "
                f"{latent_dim}. Use a larger one, fewer planes, or 'on: axes' with 2, 4, 8, ... clusters."
            ),
        )


def too_many_axes(spec: Sectors, latent_dim: int) -> Iterator[Mistake]:
    if not isinstance(spec.clusters, int) or 2 ** len(spec.per_cut()) != spec.clusters:
        yield "clusters", "'on: axes' cuts each axis in two and needs one number, a power of two: 2, 4, 8, ..."
    elif len(spec.per_cut()) > latent_dim:
        yield (
            "clusters",
            (
                f"{spec.clusters} clusters on axes need {len(spec.per_cut())} latent dimensions, latent_dim is "
                f"{latent_dim}. Use a larger one or fewer clusters."
            ),
        )


MISTAKES = {"planes": too_many_planes, "axes": too_many_axes}
