"""Maximum mean discrepancy between a batch of codes and samples of the prior, and WAE's moment matching.

Sources: Tolstikhin et al. 2018 (WAE) and its code; Zhao et al. 2017 (InfoVAE) and its code; Mathieu et al. 2019.
"""

# Shapes: N encoded rows of the whole batch, M prior samples, L axes of both. (...) is empty, or one entry per axis.

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from trainables.distributions.priors import Prior
from trainables.noise import Noise
from trainables.sums import gather

Kernel = Callable[[Tensor, int], Tensor]
"""(squared distances of points with L axes, L) -> the kernel's values, in the distances' shape."""

WAE_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
DD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def imq(square: Tensor, axes: int, scales: tuple[float, ...] = WAE_SCALES) -> Tensor:
    """The sum over scales of C / (C + d^2), C = 2 L scale: inverse multiquadratics for a prior of unit variance."""
    return sum(width / (width + square) for width in (2 * axes * scale for scale in scales))


def rbf(square: Tensor, axes: int) -> Tensor:
    """exp(-d^2 / L^2), which is Zhao's exp(-mean over axes of the squared difference / L)."""
    return (-square / axes**2).exp()


def unbiased(qq: Tensor, pp: Tensor, qp: Tensor) -> Tensor:
    """The U-statistic from kernel values (..., N, N), (..., M, M) and (..., N, M): shape (...).

    Its mean is 0 if both distributions are equal, so it may be negative. 0 for a single row, which has no pairs.
    """
    if qq.shape[-1] < 2:
        return 0 * qp.mean((-2, -1))
    return _mean_of_pairs(qq) + _mean_of_pairs(pp) - 2 * qp.mean((-2, -1))


def biased(qq: Tensor, pp: Tensor, qp: Tensor) -> Tensor:
    """The V-statistic, which includes each point's pair with itself: never negative. Shapes as in `unbiased`."""
    return qq.mean((-2, -1)) + pp.mean((-2, -1)) - 2 * qp.mean((-2, -1))


@dataclass(frozen=True)
class Discrepancy:
    """An MMD: a kernel, a statistic of its values, and the number of prior samples."""

    kernel: Kernel
    statistic: Callable[[Tensor, Tensor, Tensor], Tensor]
    prior_rows: int | None = None  # samples of the prior; None: as many as the batch has rows
    by_axis: bool = False  # computes the statistic per axis and sums over axes

    def between(self, q_NL: Tensor, p_ML: Tensor) -> Tensor:
        """The discrepancy of two samples, a scalar."""
        q, p = (points.T[..., None] if self.by_axis else points for points in (q_NL, p_ML))
        pairs = (q, q), (p, p), (q, p)
        return self.statistic(*(self.kernel(squared_distances(a, b), q.shape[-1]) for a, b in pairs)).sum()

    def to_prior(self, y_BL: Tensor, prior: Prior, noise: Noise) -> Tensor:
        """The discrepancy of all workers' codes to new prior samples, the same on all workers: a scalar."""
        return self.between(gather(y_BL), prior.sample(noise.shared(self.prior_rows or noise.total)))


DISCREPANCIES = {"imq": Discrepancy(imq, unbiased), "rbf": Discrepancy(rbf, biased, prior_rows=200)}
AXIS_BY_AXIS = Discrepancy(partial(imq, scales=DD_SCALES), unbiased, by_axis=True)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(..., N, L) and (..., M, L) -> (..., N, M), from differences: a matrix product would lose small distances."""
    return (a[..., :, None, :] - b[..., None, :, :]).square().sum(-1)


def _mean_of_pairs(k: Tensor) -> Tensor:
    """The mean of kernel values (..., N, N) off the diagonal."""
    rows = k.shape[-1]
    return (k.sum((-2, -1)) - k.diagonal(dim1=-2, dim2=-1).sum(-1)) / (rows * (rows - 1))


class Moments(nn.Module):
    """WAE's pre-training of the encoder, which matches the codes' moments to the prior's mean 0 and covariance I.

    It also stores whether they match. WAE's code compares with prior samples in batches of 1,000 rows; with batches of
    100 their noise would exceed the threshold, so the prior's exact moments are used here.
    """

    ENOUGH = 0.1

    def __init__(self):
        super().__init__()
        self.register_buffer("matched", torch.tensor(False))

    def distance(self, y_BL: Tensor) -> Tensor:
        """Mean square of the mean + mean square of (covariance - I), over all workers' codes: a scalar."""
        q_NL = gather(y_BL)
        mean_L = q_NL.mean(0)
        centred_NL = q_NL - mean_L
        covariance_LL = centred_NL.T @ centred_NL / max(len(q_NL) - 1, 1)  # 0 for a single row
        eye_LL = torch.eye(len(mean_L), dtype=q_NL.dtype, device=q_NL.device)
        return mean_L.square().mean() + (covariance_LL - eye_LL).square().mean()

    def look(self, distance: Tensor) -> None:
        """Store whether the last step's distance is below the threshold."""
        self.matched.copy_(distance < self.ENOUGH)
