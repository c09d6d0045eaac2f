"""How near generated data come to real data, and real data to generated ones: medians over rows."""

# Shapes: M, N rows, X data values of one row, flattened, B rows at once.

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.common.lazy import LazyModule, torch

if TYPE_CHECKING:
    from torch import Tensor

sums = LazyModule("trainables.sums")

EXACT = "donot_use_mm_for_euclid_dist"  # of torch's ways to compute distances the one without cancellation
AT_ONCE = 500  # rows; the memory is this times the number of rows that are looked through, times 8 bytes


def nearest(generated_MX: Tensor, real_NX: Tensor) -> dict[str, float]:
    """Medians of Euclidean distances: of generated rows to the nearest real one, and of real rows to a generated one.

    The second is large where the model leaves out a part of the data. Every worker passes its own share of both.
    """
    return {
        "nearest_real": _median(generated_MX, real_NX),
        "nearest_generated": _median(real_NX, generated_MX),
    }


def _median(points_NX: Tensor, among_MX: Tensor) -> float:
    return float(sums.gather(distances(points_NX, sums.gather(among_MX))).quantile(0.5))


def distances(points_NX: Tensor, among_MX: Tensor) -> Tensor:
    """The distance of each point to the nearest of others, (N,), float64."""
    points_NX, among_MX = points_NX.flatten(1).double(), among_MX.flatten(1).double()
    some = (torch.cdist(some_BX, among_MX, compute_mode=EXACT) for some_BX in points_NX.split(AT_ONCE))
    return torch.cat([distance_BM.amin(1) for distance_BM in some])
