"""Parzen window estimates: the likelihood of real data under kernels on generated data, and the reverse.

They are poor estimates of log p(x) for high-dimensional images (Theis et al. 2016) and only serve to compare with
papers.
"""

# Shapes: N points, M centres, B points at once, X data values of one row, flattened, S widths of the kernel.

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from trainables.common.lazy import LazyModule, torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.sums import Sums

sums = LazyModule("trainables.sums")

WIDTHS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Standard deviations to choose from, in the units of data in a range, as [0, 1]."""
OF_SPREAD = (0.005, 0.01, 0.02, 0.03, *WIDTHS)
"""Those of data without a range, relative to their spread: also small ones, as their clusters may lie far apart."""
AT_ONCE = 500  # points; the memory is this times the number of centres, times 8 bytes


class Found(NamedTuple):
    """What windows tell."""

    numbers: dict[str, float]
    edge: str
    """One sentence if a width is the least or the largest of those tried; else empty."""


def parzen(generated_MX: Tensor, val_NX: Tensor, test_NX: Tensor, widths: tuple[float, ...] = WIDTHS) -> Found:
    """Nats per row: `parzen_nll` of test under generated rows, `parzen_reversed_nll` of generated under test rows.

    Each width maximises the likelihood of the validation rows; `parzen_width` is that of `parzen_nll`. Every worker
    passes its own share of all three.
    """
    forth, width = likeliest(generated_MX, val_NX, test_NX, widths)
    back, other = likeliest(test_NX, val_NX, generated_MX, widths)
    numbers = {"parzen_nll": -forth, "parzen_width": width, "parzen_reversed_nll": -back}
    found = {"parzen_nll": width, "parzen_reversed_nll": other}
    ends = {widths[0]: "least", widths[-1]: "largest"}
    told = [f"that of {name}, {width:g}, is the {ends[width]}" for name, width in found.items() if width in ends]
    return Found(numbers, f"of the widths tried {', and '.join(told)}: a better one may lie beyond." if told else "")


def widths_for(val_NX: Tensor) -> tuple[float, ...]:
    """Widths for data without a range: OF_SPREAD times the root of the mean variance of a value over all rows.

    Every worker passes its own share of the rows. The spread of rows that are all alike counts as 1.
    """
    val_NX = val_NX.flatten(1).double()
    rows = torch.tensor(float(len(val_NX)), dtype=torch.float64, device=val_NX.device)
    mean = sums.all_reduce({"total_X": val_NX.sum(0), "rows": rows})
    mean_X = mean["total_X"] / mean["rows"]
    square = sums.all_reduce({"square": (val_NX - mean_X).square().mean(1).sum(), "rows": rows})
    spread = math.sqrt(square["square"] / square["rows"]) or 1.0
    return tuple(spread * width for width in OF_SPREAD)


def likeliest(
    centres_MX: Tensor, val_NX: Tensor, points_NX: Tensor, widths: tuple[float, ...] = WIDTHS
) -> tuple[float, float]:
    """The mean log density of points under the width that is best for the validation rows, and that width."""
    centres_MX = sums.gather(centres_MX)
    chosen = widths[int(_mean(val_NX, centres_MX, widths).argmax())]
    return float(_mean(points_NX, centres_MX, (chosen,))), chosen


def log_density(points_NX: Tensor, centres_MX: Tensor, widths: tuple[float, ...]) -> Tensor:
    """log 1/M sum_m N(x; c_m, w^2 I) in nats, (N, S), float64."""
    points_NX, centres_MX = points_NX.flatten(1).double(), centres_MX.flatten(1).double()
    parts = [_of_some(some_BX, centres_MX, widths) for some_BX in points_NX.split(AT_ONCE)]
    return torch.cat(parts) if parts else points_NX.new_zeros(0, len(widths))


def _of_some(points_BX: Tensor, centres_MX: Tensor, widths: tuple[float, ...]) -> Tensor:
    squares = points_BX.square().sum(1)[:, None] + centres_MX.square().sum(1)
    square_BM = torch.addmm(squares, points_BX, centres_MX.T, alpha=-2).clamp_min_(0)
    count, values = centres_MX.shape
    logs = [
        (square_BM / (-2 * width**2)).logsumexp(1) - math.log(count) - values / 2 * math.log(2 * math.pi * width**2)
        for width in widths
    ]
    return torch.stack(logs, 1)


def _mean(points_NX: Tensor, centres_MX: Tensor, widths: tuple[float, ...]) -> Tensor:
    """The mean log density over the points of all workers, (S,)."""
    density_NS = log_density(points_NX, centres_MX, widths)
    rows = torch.tensor(float(len(density_NS)), device=density_NS.device)
    total: Sums = sums.all_reduce({"log_density_S": density_NS.sum(0), "rows": rows})
    return total["log_density_S"] / total["rows"]
