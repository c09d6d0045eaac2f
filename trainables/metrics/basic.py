"""The metrics of every epoch. They are exact on several workers, because each reduces sums, never averages."""

# Shapes: N rows of this worker, D latent axes.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from trainables.common.lazy import LazyModule, torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.metrics.view import ModelView

relevance = LazyModule("trainables.relevance")
sums = LazyModule("trainables.sums")

SMALLEST_DEVIATION = 1e-8


def mean_of(name: str) -> Callable[[ModelView], float]:
    """The mean over all rows and workers of a per-row value."""

    def compute(view: ModelView) -> float:
        value = view.per_row[name]
        rows = torch.tensor(float(len(value)), device=value.device)
        total = sums.all_reduce({"sum": value.sum(), "rows": rows})
        return float(total["sum"] / total["rows"])

    return compute


def elbo(view: ModelView) -> float:
    """-(nll + kl), with the KL at weight 1, whatever the method's beta."""
    return -(mean_of("nll")(view) + mean_of("kl")(view))


def active(view: ModelView) -> float:
    """How many axes carry 99 % of the relevance score on these rows (ARD-VAE, section 3.4); 0 for a collapsed model."""
    moments = sums.all_reduce(relevance.moments(view.z_ND, view.mean_ND))
    sensitivity = sums.all_reduce(relevance.at_rows(view.vae, view.first_JD, view.first_JX))
    if relevance.collapsed(moments, sensitivity):
        return 0.0
    return float(relevance.relevance(moments, sensitivity, view.vae.relevance_form).active().sum())


def hoyer(view: ModelView) -> float:
    """Hoyer sparsity of sampled latents."""
    return hoyer_of(view.z_ND)


def hoyer_of(z_ND: Tensor) -> float:
    """Mean over rows of (sqrt D - |z|_1/|z|_2) / (sqrt D - 1), each axis divided by its standard deviation (ddof 0).

    Each worker passes its own rows; the mean is over all workers' rows. 0 for a dense row, 1 for a row with one
    non-zero value. A constant axis counts as zero, and a row of such axes alone scores 0. With one axis the score is 0
    by convention.
    Source: Mathieu et al. 2019; Intel-VAE, section 6.3, which takes sampled latents.
    """
    z_ND = z_ND.double()
    rows, dim = torch.tensor(float(len(z_ND)), device=z_ND.device), z_ND.shape[1]
    if dim == 1:
        return 0.0
    first = sums.all_reduce({"rows": rows, "sum_D": z_ND.sum(0)})
    mean_D = first["sum_D"] / first["rows"]
    spread = sums.all_reduce({"square_D": (z_ND - mean_D).square().sum(0)})
    deviation_D = (spread["square_D"] / first["rows"]).sqrt()
    scaled_ND = torch.where(deviation_D < SMALLEST_DEVIATION, 0.0, z_ND / deviation_D.clamp_min(SMALLEST_DEVIATION))
    norm_N = scaled_ND.norm(dim=1)
    ratio_N = torch.where(norm_N > 0, scaled_ND.abs().sum(1) / norm_N, math.sqrt(dim))
    score_N = (math.sqrt(dim) - ratio_N) / (math.sqrt(dim) - 1)
    return float(sums.all_reduce({"score": score_N.sum()})["score"] / first["rows"])


def variance_min(view: ModelView) -> float:
    return float(view.vae.prior.variance_D.min())


def variance_max(view: ModelView) -> float:
    return float(view.vae.prior.variance_D.max())


def opened(view: ModelView) -> float:
    """How many axes the method's own gates or mask leave open, whatever their relevance."""
    return float(view.vae.mapping.opened().sum())


def multiplier(view: ModelView) -> float:
    return view.vae.extras().item()
