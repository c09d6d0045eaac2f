"""Cuts of planes into sectors and of axes in two, and the push that separates the clusters (Intel-VAE, equation 6)."""

# Shapes: B rows of a batch, D latent dimensions, K clusters (of one cut, or of all cuts together).

import math
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

SMOOTHING = 1e-6  # in units of y: bounds the slope of the push, which by equation 6 is infinite at a boundary


def push(offset: Tensor, c1: float, c2: float) -> Tensor:
    """c1 d (d^2 + eps^2)**((c2 - 1) / 2) of the offset d from a boundary, an odd and increasing function.

    For d > 0 this is equation 6, c1 d**c2, less at most (eps / d)^2 / 2 of it: 5e-5 at d = 1e-4. Its slope is largest
    at d = 0, where it is 0: c1 eps**(c2 - 1).
    """
    return c1 * offset * torch.hypot(offset, offset.new_full((), SMOOTHING)) ** (c2 - 1)


def distance_to_ray(y_B2: Tensor, direction_B2: Tensor) -> Tensor:
    """Distance (B,) of points to the ray from the origin along a unit vector; finite gradients everywhere."""
    along_B = (y_B2 * direction_B2).sum(1)
    across_B = direction_B2[:, 0] * y_B2[:, 1] - direction_B2[:, 1] * y_B2[:, 0]
    return torch.where(along_B > 0, across_B.abs(), torch.linalg.vector_norm(y_B2, dim=1))


def directions(angle_K: Tensor) -> Tensor:
    """Unit vectors (K, 2)."""
    return torch.stack((angle_K.cos(), angle_K.sin()), 1)


class Cut(nn.Module):
    """One plane or axis cut into K clusters: (B, width) -> (B, width).

    `shares` decides the proportions: a trained parameter if they are learned, else a constant outside the checkpoint.
    """

    width: ClassVar[int]

    def __init__(self, shares: Tensor, c1: float, c2: float, learned: bool):
        super().__init__()
        self.c1, self.c2 = c1, c2
        if learned:
            self.shares = nn.Parameter(shares)
        else:
            self.register_buffer("shares", shares, persistent=False)


class Plane(Cut):
    """A plane cut into sectors, the first starting at angle 0; the angles are 2 pi softmax(shares).

    A learned sector may be wider than pi. For some points the nearest point of its boundary is then the origin.
    """

    width = 2

    def __init__(self, clusters: int, *push: float | bool):
        super().__init__(torch.zeros(clusters), *push)

    def masses(self) -> Tensor:
        """Each sector's probability (K,) under N(0, I), which is isotropic."""
        return self.shares.softmax(0)

    def starts(self) -> Tensor:
        """The angle (K,) at which each sector starts."""
        angle_K = 2 * math.pi * self.masses()
        return torch.cat((angle_K.new_zeros(1), angle_K.cumsum(0)[:-1]))

    def cluster(self, y_B2: Tensor) -> Tensor:
        """The sector (B,) that each point lies in."""
        angle_B = torch.atan2(y_B2[:, 1], y_B2[:, 0]).remainder(2 * math.pi)
        return torch.bucketize(angle_B.detach(), self.starts()[1:].detach(), right=True)

    def forward(self, y_B2: Tensor) -> Tensor:
        start_K, k_B = self.starts(), self.cluster(y_B2)
        ray_K2 = directions(start_K)  # neighbours share the same ray, so that rounding cannot separate them
        distance_B = torch.minimum(
            distance_to_ray(y_B2, ray_K2[k_B]),
            distance_to_ray(y_B2, ray_K2.roll(-1, 0)[k_B]),
        )
        centre_K2 = directions(start_K + math.pi * self.masses())
        return y_B2 + push(distance_B, self.c1, self.c2)[:, None] * centre_K2[k_B]


class Axis(Cut):
    """An axis cut in two at b = 8 sigmoid(shares) - 4: y + c1 sign(y - b) |y - b|**c2.

    Equation 6 for two clusters, with the direction of the paper's text and the authors' code.
    """

    width = 1

    def __init__(self, *push: float | bool):
        super().__init__(torch.zeros(1), *push)

    def boundary(self) -> Tensor:
        """b, (1,), between -4 and 4."""
        return 8 * self.shares.sigmoid() - 4

    def masses(self) -> Tensor:
        """The probabilities (2,) of y <= b and y > b under N(0, 1)."""
        b = self.boundary()
        return torch.special.ndtr(torch.cat((b, -b)))

    def cluster(self, y_B1: Tensor) -> Tensor:
        """0 or 1 (B,): the side of b that each point lies on."""
        return (y_B1 > self.boundary()).squeeze(1).long()

    def forward(self, y_B1: Tensor) -> Tensor:
        return y_B1 + push(y_B1 - self.boundary(), self.c1, self.c2)


class Cuts(nn.Module):
    """(B, D) -> (B, D): each cut acts on the next dimensions in order; the remaining dimensions stay.

    K, the number of clusters, is the product of the cuts' numbers; the first cut's index varies slowest.
    """

    def __init__(self, cuts: list[Cut]):
        super().__init__()
        self.cuts = nn.ModuleList(cuts)

    def forward(self, y_BD: Tensor) -> Tensor:
        *pieces, rest = self._split(y_BD)
        return torch.cat([*(cut(piece) for cut, piece in zip(self.cuts, pieces, strict=True)), rest], 1)

    def proportions(self) -> Tensor:
        """The clusters' probabilities (K,) under the prior N(0, I)."""
        return reduce(torch.kron, (cut.masses() for cut in self.cuts))

    def cluster(self, y_BD: Tensor) -> Tensor:
        """The cluster (B,) of each y, in the order of `proportions`."""
        index_B = torch.zeros(len(y_BD), dtype=torch.long, device=y_BD.device)
        for cut, piece in zip(self.cuts, self._split(y_BD), strict=False):
            index_B = index_B * len(cut.masses()) + cut.cluster(piece)
        return index_B

    def _split(self, y_BD: Tensor) -> tuple[Tensor, ...]:
        """The dimensions of each cut, and the remaining ones."""
        widths = [cut.width for cut in self.cuts]
        return y_BD.split([*widths, y_BD.shape[1] - sum(widths)], 1)


CUTS = {
    "planes": lambda per_cut, *push: [Plane(clusters, *push) for clusters in per_cut],
    "axes": lambda per_cut, *push: [Axis(*push) for _ in per_cut],
}
"""`Sectors.on` -> function that makes the cuts from the clusters of each, c1, c2 and whether shares are learned."""
