"""beta-TCVAE: beta weights only one part of the KL, the total correlation of the aggregate posterior."""

# Shapes: B rows of the whole batch, j those with a sample, i those with a posterior; D dimensions of the code y.

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat

from trainables.common.lazy import LazyModule, torch
from trainables.methods.base import Method, negative_elbo, posteriors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.model import Pass
    from trainables.terms import Terms

sums = LazyModule("trainables.sums")


class TCVAE(Method):
    """VAE that also reduces the total correlation of its codes, so that dimensions become independent.

    The KL is index-code information + total correlation + dimension-wise KL; the second has the weight beta.

    Loss: nll + KL(q(z|x) || N(0, I)) + (beta - 1) TC, where TC = KL(q(z) || prod_d q(z_d)) over a batch.
    """

    name: Literal["tc_vae"] = "tc_vae"
    beta: NonNegativeFloat = 2.0
    """Weight of the total correlation; 1 is the plain VAE. ARD-VAE: 2 for MNIST, CelebA, CIFAR10 and ImageNet, 5 for
    DSprites and 3D Shapes."""
    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl", "tc")
    source: ClassVar[str] = "Chen et al. 2018; disentanglement_lib; ARD-VAE, supplement"

    def terms(self, seen: Pass) -> Terms:
        mine = (seen.y_BD, seen.q.mean_BD, seen.q.log_variance_BD)
        y_BD, mean_BD, log_variance_BD = sums.gather(torch.cat(mine, 1)).chunk(3, 1)
        correlation = total_correlation(y_BD, mean_BD, log_variance_BD)
        return negative_elbo(seen, beta=1.0) | {"tc": ((self.beta - 1) * seen.kl_scale, correlation)}


def total_correlation(y_BD: Tensor, mean_BD: Tensor, log_variance_BD: Tensor) -> Tensor:
    """KL(q(y) || prod_d q(y_d)) in nats, a scalar; q(y) is the mean of the batch's posteriors.

    disentanglement_lib sums the posteriors instead, which lowers the value by the constant (D - 1) log B.
    """
    log_q_jiD = posteriors.gaussian_log_prob(y_BD[:, None], mean_BD, log_variance_BD)
    joint_j = log_q_jiD.sum(2).logsumexp(1)
    marginals_j = log_q_jiD.logsumexp(1).sum(1)
    rows, dim = y_BD.shape
    return (joint_j - marginals_j).mean() + (dim - 1) * math.log(rows)
