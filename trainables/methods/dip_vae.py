"""DIP-VAE: a penalty moves the covariance of the codes over a batch towards the identity."""

# Shapes: B rows of the whole batch, D dimensions of the code y.

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat

from trainables.common.lazy import LazyModule, torch
from trainables.methods.base import Method, negative_elbo

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.posteriors import Gaussian
    from trainables.model import Pass
    from trainables.terms import Terms

sums = LazyModule("trainables.sums")


class DIPVAE(Method):
    """VAE that penalises the codes' covariance for its distance to the identity, so that dimensions decorrelate.

    Loss: nll + KL(q(z|x) || N(0, I)) + lambda_od sum_{i != j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2, C the
    covariance.
    """

    name: Literal["dip_vae"] = "dip_vae"
    form: Literal["I", "II"] = "I"
    """Which covariance: of the posteriors' means (I), or of codes sampled from them (II)."""
    lambda_od: NonNegativeFloat = 10.0
    """Weight of the squared covariances off the diagonal."""
    lambda_d: NonNegativeFloat | None = None
    """Weight of (variance - 1)^2 on the diagonal. Default: 10 lambda_od for I, lambda_od for II."""
    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl", "off_diagonal", "diagonal")
    source: ClassVar[str] = "Kumar et al. 2018, equations 6 and 7; ARD-VAE, supplement, table 6"

    def terms(self, seen: Pass) -> Terms:
        covariance_DD = FORMS[self.form](*whole_batch(seen.q))
        variance_D = covariance_DD.diagonal()
        return negative_elbo(seen, beta=1.0) | {
            "off_diagonal": (self.lambda_od, (covariance_DD - variance_D.diag()).square().sum()),
            "diagonal": (self._lambda_d(), (variance_D - 1).square().sum()),
        }

    def _lambda_d(self) -> float:
        return DIAGONAL[self.form] * self.lambda_od if self.lambda_d is None else self.lambda_d


def whole_batch(q: Gaussian) -> tuple[Tensor, Tensor]:
    """Means and variances (B, D) of the posteriors of all workers' rows."""
    return sums.gather(torch.cat((q.mean_BD, q.log_variance_BD.exp()), 1)).chunk(2, 1)


def covariance_of_means(mean_BD: Tensor, _variance_BD: Tensor) -> Tensor:
    """Covariance (D, D) with denominator B."""
    centred_BD = mean_BD - mean_BD.mean(0)
    return centred_BD.T @ centred_BD / len(mean_BD)


def covariance_of_codes(mean_BD: Tensor, variance_BD: Tensor) -> Tensor:
    """Covariance (D, D): by the law of total covariance, that of the means plus the mean of the posteriors'."""
    return covariance_of_means(mean_BD, variance_BD) + variance_BD.mean(0).diag()


FORMS = {"I": covariance_of_means, "II": covariance_of_codes}
DIAGONAL = {"I": 10.0, "II": 1.0}
