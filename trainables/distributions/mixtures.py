"""Mixture priors: fixed (MoG-VAE), of encoded pseudo inputs (VampPrior), and conditioned on a context (GM-VAE)."""

# Shapes: B rows, D dimensions of the code y, K components, X data dimensions; of GM-VAE's code y = (x, w): L dimensions
# of x, C of the context w.

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.distributions.divergences import gaussian_kl
from trainables.distributions.likelihoods import Range
from trainables.distributions.posteriors import Gaussian, gaussian_log_prob
from trainables.distributions.priors import Normal, Prior
from trainables.noise import Noise

MEANS_AT = 2.0
"""Distance of the fixed means from the origin (Intel-VAE's code)."""

FRAME_SEED = 0
PSEUDO_INPUT_SD = 0.01  # of the noise on the training rows with which pseudo inputs are initialised
LOG_VARIANCE_RANGE = (-6.0, 6.0)  # of GM-VAE's components


class Mixture(Prior):
    """1/K sum_k N(m_k, diag v_k)."""

    @abstractmethod
    def components(self) -> Gaussian:
        """The K components, one per row."""

    def log_prob(self, y_BD: Tensor) -> Tensor:
        parts = self.components()
        log_prob_BK = gaussian_log_prob(y_BD[:, None], parts.mean_BD, parts.log_variance_BD).sum(2)
        return log_prob_BK.logsumexp(1) - math.log(log_prob_BK.shape[1])

    def sample(self, noise: Noise) -> Tensor:
        parts = self.components()
        k_B = one_of(len(parts.mean_BD), noise)
        deviation_KD = (0.5 * parts.log_variance_BD).exp()
        return parts.mean_BD[k_B] + deviation_KD[k_B] * noise.normal("prior", self.dim)


class FixedMixture(Mixture):
    """Components with given means and one isotropic variance; nothing is trained."""

    def __init__(self, means_KD: Tensor, variance: float):
        super().__init__(means_KD.shape[1])
        self.register_buffer("mean_KD", means_KD)
        self.register_buffer("log_variance_KD", torch.full_like(means_KD, math.log(variance)))

    def components(self) -> Gaussian:
        return Gaussian(self.mean_KD, self.log_variance_KD)


class Vamp(Mixture):
    """1/K sum_k q(y|u_k): the components are the posteriors of K trained pseudo inputs, clipped to the data's range.

    Args:
        examples_BX: training rows, which initialise the pseudo inputs in turn, with noise of deviation 0.01.
        encode: q(y|x), Gaussian, which must not update the running statistics of batch norm.
    """

    def __init__(self, dim: int, count: int, examples_BX: Tensor, span: Range, encode: Callable[[Tensor], Gaussian]):
        super().__init__(dim)
        start_KX = examples_BX[torch.arange(count) % len(examples_BX)]
        self.pseudo_KX = nn.Parameter(start_KX + PSEUDO_INPUT_SD * torch.randn_like(start_KX))
        self.span, self.encode = span, encode

    def components(self) -> Gaussian:
        return self.encode(self.pseudo_KX.clamp(*self.span) if self.span else self.pseudo_KX)


class ContextMixture(Prior):
    """p(x, w) = N(w; 0, I) 1/K sum_k N(x; m_k(w), diag v_k(w)) on codes y = (x, w).

    m_k and log v_k are linear heads of one tanh layer, with Torch's default initial weights, as in GM-VAE's code.
    """

    def __init__(self, latent_dim: int, context_dim: int, components: int, hidden: int):
        super().__init__(latent_dim + context_dim)
        self.latent_dim, self.context, self.count = latent_dim, Normal(context_dim), components
        self.trunk = nn.Sequential(nn.Linear(context_dim, hidden), nn.Tanh())
        self.mean, self.log_variance = (nn.Linear(hidden, components * latent_dim) for _ in range(2))

    def split(self, y_BD: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, L) and w (B, C)."""
        return y_BD[:, : self.latent_dim], y_BD[:, self.latent_dim :]

    def components(self, w_BC: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of p(x|k, w), (B, K, L) each."""
        hidden_BH = self.trunk(w_BC)
        shape = (-1, self.count, self.latent_dim)
        return self.mean(hidden_BH).view(shape), self.log_variance(hidden_BH).clamp(*LOG_VARIANCE_RANGE).view(shape)

    def log_parts(self, y_BD: Tensor) -> Tensor:
        """log p(x|k, w), (B, K)."""
        x_BL, w_BC = self.split(y_BD)
        return gaussian_log_prob(x_BL[:, None], *self.components(w_BC)).sum(2)

    def log_prob(self, y_BD: Tensor) -> Tensor:
        log_mixture_B = self.log_parts(y_BD).logsumexp(1) - math.log(self.count)
        return self.context.log_prob(self.split(y_BD)[1]) + log_mixture_B

    def sample(self, noise: Noise) -> Tensor:
        """Ancestral sampling: the context w, a component k, then x."""
        w_BC = self.context.sample(noise)
        k_B = one_of(self.count, noise)
        mean_BL, log_variance_BL = (
            part[torch.arange(len(k_B), device=k_B.device), k_B] for part in self.components(w_BC)
        )
        x_BL = mean_BL + (0.5 * log_variance_BL).exp() * noise.normal("code", self.latent_dim)
        return torch.cat([x_BL, w_BC], 1)


class Pieces(NamedTuple):
    """The KL terms of GM-VAE's rate, (B,) each, in nats."""

    code: Tensor  # of x, given context and component
    context: Tensor  # of w
    component: Tensor  # of k


def pieces_of(q: Gaussian, prior: ContextMixture, y_BD: Tensor) -> Pieces:
    """The KL of q(x) q(w) p(k|x, w) to p(x, w, k), estimated with one sample y = (x, w) of q.

    sum_k p(k|x, w) KL(q(x) || p(x|k, w)) + KL(q(w) || N(0, I)) + KL(p(k|x, w) || uniform), p(k|x, w) by Bayes' rule.
    The first sum averages its two factors over x separately: its mean exceeds that of the exact rate,
    log q(y) - log p(y), by sum_k cov(p(k|x, w), log p(x|k, w)) >= 0. So the bound holds and is slightly loose.
    Source: Dilokthanakul et al. 2016.
    """
    (mean_BL, w_mean_BC), (log_variance_BL, w_log_variance_BC) = map(prior.split, (q.mean_BD, q.log_variance_BD))
    part_mean_BKL, part_log_variance_BKL = prior.components(prior.split(y_BD)[1])
    to_part_BK = gaussian_kl(mean_BL[:, None] - part_mean_BKL, log_variance_BL[:, None], part_log_variance_BKL.exp())
    log_k_BK = prior.log_parts(y_BD).log_softmax(1)
    return Pieces(
        (log_k_BK.exp() * to_part_BK).sum(1),
        gaussian_kl(w_mean_BC, w_log_variance_BC, w_mean_BC.new_ones(())),
        (log_k_BK.exp() * (log_k_BK + math.log(prior.count))).sum(1),
    )


class First(nn.Module):
    """(B, D) -> (B, L): the first L dimensions."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim

    def forward(self, y_BD: Tensor) -> Tensor:
        return y_BD[:, : self.latent_dim]


def on_axes(count: int, dim: int) -> Tensor:
    """Means (K, D) in pairs at +-2 on the first axes; `count` is even, at most 2 D."""
    axes_KD = torch.eye(dim)[: count // 2]
    return MEANS_AT * torch.stack([axes_KD, -axes_KD], 1).flatten(0, 1)


def on_frame(count: int, dim: int) -> Tensor:
    """Means (K, D) at distance 2 in orthonormal directions, random but the same in every run; `count` <= D."""
    normal_DK = torch.randn(dim, count, dtype=torch.float64, generator=torch.Generator().manual_seed(FRAME_SEED))
    q_DK, r_KK = torch.linalg.qr(normal_DK)
    return MEANS_AT * (q_DK * r_KK.diagonal().sign()).T.to(torch.get_default_dtype())


MEANS = {"axes": on_axes, "frame": on_frame}


def one_of(count: int, noise: Noise) -> Tensor:
    """A uniformly random index below `count` for each row, (B,)."""
    return (count * noise.uniform("component")).long()
