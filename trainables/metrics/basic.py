"""The metrics of every epoch. Exact on many workers: each reduces sums, never averages."""

# Shapes: N rows of this worker, D latent axes.

import math
from collections.abc import Callable

import torch

from trainables.metrics.view import View
from trainables.relevance import moments, relevance, sensitivity
from trainables.sums import all_reduce

SMALLEST_DEVIATION = 1e-8


def mean_of(name: str) -> Callable[[View], float]:
    """The mean over all rows and workers of a per-row value."""

    def compute(view: View) -> float:
        value = view.per_row[name]
        sums = all_reduce({"sum": value.sum(), "rows": torch.tensor(float(len(value)), device=value.device)})
        return float(sums["sum"] / sums["rows"])

    return compute


def elbo(view: View) -> float:
    """-(nll + kl) with the KL's weight at one, whatever the method's beta."""
    return -(mean_of("nll")(view) + mean_of("kl")(view))


def active(view: View) -> float:
    """How many axes carry 99 % of the relevance score on these rows (ARD-VAE, section 3.4; its code's weight)."""
    scores = relevance(all_reduce(moments(view.z_ND, view.mean_ND)), all_reduce(sensitivity(view.vae, view.first_JD)))
    return float(scores.active().sum())


def hoyer(view: View) -> float:
    """Mean over rows of (sqrt D - |z|_1/|z|_2) / (sqrt D - 1), each axis divided by its standard deviation (ddof 0).

    0 for a dense row, 1 for a row with one value. An axis that never moves counts as zero.
    Zero by convention where there is one axis only.
    Source: Mathieu et al. 2019; Intel-VAE, section 6.3, which takes sampled latents.
    """
    z_ND = view.z_ND.double()
    rows, dim = torch.tensor(float(len(z_ND)), device=z_ND.device), z_ND.shape[1]
    if dim == 1:
        return 0.0
    first = all_reduce({"rows": rows, "sum_D": z_ND.sum(0)})
    mean_D = first["sum_D"] / first["rows"]
    spread = all_reduce({"square_D": (z_ND - mean_D).square().sum(0)})
    deviation_D = (spread["square_D"] / first["rows"]).sqrt()
    scaled_ND = torch.where(deviation_D < SMALLEST_DEVIATION, 0.0, z_ND / deviation_D.clamp_min(SMALLEST_DEVIATION))
    ratio_N = scaled_ND.abs().sum(1) / scaled_ND.norm(dim=1).clamp_min(1e-300)
    score_N = (math.sqrt(dim) - ratio_N) / (math.sqrt(dim) - 1)
    return float(all_reduce({"score": score_N.sum()})["score"] / first["rows"])


def variance_min(view: View) -> float:
    return float(view.vae.prior.variance_D.min())


def variance_max(view: View) -> float:
    return float(view.vae.prior.variance_D.max())
