"""KL(q(y|x) || p(y)) per row, in nats: in closed form where there is one, else estimated from samples."""

# Shapes: B rows, D dimensions of the code y.

from torch import Tensor

from trainables.distributions.posteriors import Draw, Gaussian, Posterior
from trainables.distributions.priors import ARD, Normal, Prior, WideNormal
from trainables.distributions.spike_slab import SpikeAndSlab, SpikeAndSlabPrior, spike_and_slab_kl
from trainables.noise import Noise


def kl(q: Posterior, prior: Prior, drawn: Draw) -> Tensor:
    """KL(q || prior), shape (B,).

    Pairs without a closed form use the one-sample estimate log q(y) - log p(y), y ~ q.
    """
    closed = CLOSED_FORMS.get((type(q), type(prior)))
    return closed(q, prior) if closed else drawn.log_q() - prior.log_prob(drawn.y_BD)


def sampled_kl(q: Posterior, prior: Prior, noise: Noise, samples: int) -> Tensor:
    """The mean of the one-sample estimate over `samples` draws of q, shape (B,)."""
    draws = [q.draw(noise.under("kl", k)) for k in range(samples)]
    return sum(drawn.log_q() - prior.log_prob(drawn.y_BD) for drawn in draws) / samples


def gaussian_kl(mean_BD: Tensor, log_variance_BD: Tensor, prior_variance_D: Tensor) -> Tensor:
    """KL(N(mean, exp log_variance) || N(0, prior_variance)) = 1/2 sum_l [log s_l - lv_l - 1 + (mu_l^2 + exp lv_l)/s_l].

    Source: ARD-VAE, eq. 17 (the official code has s where this has log s; only the logged value differs).
    """
    ratio_BD = (mean_BD.square() + log_variance_BD.exp()) / prior_variance_D
    return 0.5 * (prior_variance_D.log() - log_variance_BD - 1 + ratio_BD).sum(-1)


def _to_normal(q: Gaussian, prior: Normal) -> Tensor:
    return 0.5 * (q.mean_BD.square() + q.log_variance_BD.exp() - q.log_variance_BD - 1).sum(1)


def _to_ard(q: Gaussian, prior: ARD) -> Tensor:
    return gaussian_kl(q.mean_BD, q.log_variance_BD, prior.variance_D)


def _to_wide(q: Gaussian, prior: WideNormal) -> Tensor:
    return gaussian_kl(q.mean_BD, q.log_variance_BD, prior.variance)


CLOSED_FORMS = {
    (Gaussian, Normal): _to_normal,
    (Gaussian, WideNormal): _to_wide,
    (Gaussian, ARD): _to_ard,
    (SpikeAndSlab, SpikeAndSlabPrior): spike_and_slab_kl,
}
