"""The metrics of an epoch's report, listed in METRICS. Each is a function of a ModelView and reduces over all workers.

`view.py` passes the validation rows through the model, `basic.py` computes an epoch's metrics from that. The other
files compute the numbers of evaluations/: distances of generated data, probes of the representation, disentanglement.
`provenance.py` records how a number was computed.
"""

# Shapes: N rows of this worker, D latent axes.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainables.methods import Method
from trainables.metrics.basic import active, elbo, hoyer, mean_of, multiplier, opened, variance_max, variance_min

if TYPE_CHECKING:
    from trainables.metrics.view import ModelView


@dataclass(frozen=True)
class Metric:
    """A number computed from a model's outputs on a data set."""

    name: str
    compute: Callable[[ModelView], float]
    summary: str
    source: str


METRICS: tuple[Metric, ...] = (
    Metric("loss", mean_of("loss"), "the objective, KL at its full weight", "the method's paper"),
    Metric("elbo", elbo, "-(nll + kl), nats per row; comparable between betas", "Kingma & Welling 2014"),
    Metric("nll", mean_of("nll"), "reconstruction term, nats per row, summed over pixels", "the likelihood"),
    Metric("kl", mean_of("kl"), "rate: mean KL(q(y|x) || p(y)), nats per row", "Alemi et al. 2018"),
    Metric(
        "mse",
        mean_of("mse"),
        "squared error per data value of the reconstruction from a sample, in the data's units",
        "ARD-VAE, supp. table 10",
    ),
    Metric(
        "active",
        active,
        "axes that carry 99 % of the relevance score; 0 if collapsed, none for flows",
        "ARD-VAE, section 3.4",
    ),
    Metric("hoyer", hoyer, "Hoyer sparsity of the sampled latents; N(0, I) has .22 at 128 axes", "Mathieu et al. 2019"),
    Metric("variance_min", variance_min, "smallest variance of the ARD prior", "ARD-VAE, figure 1"),
    Metric("variance_max", variance_max, "largest variance of the ARD prior", "ARD-VAE, figure 1"),
    Metric("gates_open", opened, "axes whose gate is open: sigmoid(g) > 0.5", "De Boom et al. 2020"),
    Metric("multiplier", multiplier, "lambda of the reconstruction's constraint", "De Boom et al. 2020"),
    Metric("mask_open", opened, "axes whose mask is 0.1 or more", "Mondal et al. 2020"),
)


Direction = Literal["max", "min"]

OF_NAMES: dict[str, Direction | None] = {
    "loss": "min",
    "elbo": "max",
    "nll": "min",
    "kl": "min",
    "mse": "min",
    "active": None,
    "hoyer": None,
    "variance_min": None,
    "variance_max": None,
    "gates_open": None,
    "multiplier": None,
    "mask_open": None,
    # terms of a loss, which training makes small
    "rate_gap": "min",
    "l0": "min",
    "allowance": None,  # what the constraint allows for; it is subtracted
    "spread": "min",
    "mmd": "min",
    "tc": "min",
    "off_diagonal": "min",
    "diagonal": "min",
    "code": "min",
}
"""Whether a metric or a term of the loss is better when higher or lower; None where neither holds."""

DIRECTIONS = {f"{rows}/{name}": better for rows in ("train", "val") for name, better in OF_NAMES.items()}


COMMON = ("loss", "nll", "mse", "hoyer")
OF_A_RATE = ("elbo", "kl")  # of methods whose posterior has a rate
OF_DISTINCT_AXES = ("active",)  # of methods other than flows


def metrics_of(method: Method) -> tuple[Metric, ...]:
    """The metrics that are defined for this method."""
    names = COMMON + OF_A_RATE * ("kl" in method.term_names) + OF_DISTINCT_AXES * method.distinct_axes
    names += method.own_metrics
    return tuple(metric for metric in METRICS if metric.name in names)


def metric_names(method: Method) -> tuple[str, ...]:
    """The names of a report's numbers: `train/...` of the epoch's batches, `val/...` of the validation rows after."""
    terms = ("loss", *method.term_names)
    return (*(f"train/{term}" for term in terms), *(f"val/{metric.name}" for metric in metrics_of(method)))


__all__ = ["DIRECTIONS", "METRICS", "Direction", "Metric", "metric_names", "metrics_of"]
