"""Frechet distance between Gaussians fitted to two sets of features: FID where the features are Inception's."""

# Shapes: B rows of this worker's share of a batch, F features.

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.common.errors import Undefined
from trainables.common.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.metrics.features import Extractor
    from trainables.sums import Sums


def name_of(extractor: Extractor, variant: str = "") -> str:
    """`fid` for the published weights of FID's Inception, and `frechet_<features>` for anything else."""
    return ("fid" if extractor.published else f"frechet_{extractor.name}") + variant


def statistics(features_BF: Tensor) -> Sums:
    """The sums over these rows that the distance needs, in float64: additive over batches and workers."""
    x_BF = features_BF.double()
    rows = torch.tensor(float(len(x_BF)), dtype=torch.float64, device=x_BF.device)
    return {"rows": rows, "sum_F": x_BF.sum(0), "product_FF": x_BF.T @ x_BF}


def moments(sums: Sums) -> tuple[Tensor, Tensor]:
    """Mean (F,) and covariance (F, F) with denominator rows - 1. Raises Undefined."""
    rows = sums["rows"]
    if rows < 2:
        raise Undefined(f"a covariance needs 2 rows, here {int(rows)}: use more rows.")
    mean_F = sums["sum_F"] / rows
    return mean_F, (sums["product_FF"] - rows * torch.outer(mean_F, mean_F)) / (rows - 1)


def distance(one: Sums, other: Sums) -> float:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Heusel et al. 2017), from sums over all rows and workers.

    Symmetric, and 0 for equal statistics. With fewer rows than features it is biased upwards by far. Raises Undefined.
    """
    (mean1_F, covariance1_FF), (mean2_F, covariance2_FF) = moments(one), moments(other)
    if not all(bool(value.isfinite().all()) for value in (mean1_F, mean2_F, covariance1_FF, covariance2_FF)):
        raise Undefined("features are not finite: look at the generated images.")
    traces = covariance1_FF.trace() + covariance2_FF.trace() - 2 * trace_of_root(covariance1_FF, covariance2_FF)
    return max(float((mean1_F - mean2_F).square().sum() + traces), 0.0)


def trace_of_root(a_FF: Tensor, b_FF: Tensor) -> Tensor:
    """Tr (A B)^(1/2) of positive semidefinite matrices: the sum of the singular values of R' Q, A = R R', B = Q Q'.

    A root of the product itself is inaccurate where the product is singular, and may come out complex.
    """
    return torch.linalg.svdvals(_root(a_FF).T @ _root(b_FF)).sum()


def _root(a_FF: Tensor) -> Tensor:
    """R with A = R R'."""
    value_F, vector_FF = torch.linalg.eigh(a_FF)
    return vector_FF * value_F.clamp_min(0).sqrt()


def frechet(extractor: Extractor, generated: Sums, real: Sums, variant: str = "") -> dict[str, float]:
    """The distance, under its name (see `name_of`). Raises Undefined."""
    return {name_of(extractor, variant): distance(generated, real)}
