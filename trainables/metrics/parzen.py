"""Parzen window estimates: the likelihood of real data under kernels on generated data, and the reverse.

They are poor estimates of log p(x) for high-dimensional images (Theis et al. 2016) and only serve to compare with
papers.
"""

# Shapes: N points, M centres, B points at once, X data values of one row, flattened, S widths of the kernel.

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trainables.common.lazy import LazyModule, torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.sums import Sums

sums = LazyModule("trainables.sums")

WIDTHS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Standard deviations to choose from, in the data's units."""
AT_ONCE = 500  # points; the memory is this times the number of centres, times 8 bytes


def parzen(generated_MX: Tensor, val_NX: Tensor, test_NX: Tensor) -> dict[str, float]:
    """Nats per row: `parzen_nll` of test under generated rows, `parzen_reversed_nll` of generated under test rows.

    Each width maximises the likelihood of the validation rows; `parzen_width` is that of `parzen_nll`. Every worker
    passes its own share of all three.
    """
    forth, width = likeliest(generated_MX, val_NX, test_NX)
    back, _ = likeliest(test_NX, val_NX, generated_MX)
    return {"parzen_nll": -forth, "parzen_width": width, "parzen_reversed_nll": -back}


def likeliest(centres_MX: Tensor, val_NX: Tensor, points_NX: Tensor) -> tuple[float, float]:
    """The mean log density of points under the width of WIDTHS that is best for the validation rows, and that width."""
    centres_MX = sums.gather(centres_MX)
    chosen = WIDTHS[int(_mean(val_NX, centres_MX, WIDTHS).argmax())]
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
