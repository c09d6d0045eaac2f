"""Spike and slab: codes with many dimensions at 0. Sparse-VAE's posterior and prior, and the KL between them."""

# Shapes: B rows, D dimensions of the code y, E outputs of the encoder.

import math
from dataclasses import dataclass

from torch import Tensor

from trainables.distributions.likelihoods import LOG_VARIANCE_RANGE
from trainables.distributions.posteriors import Draw, Posterior
from trainables.distributions.priors import Prior
from trainables.noise import Noise

STEEPNESS = 50.0  # of the relaxed gates; the official code adds 0.001 per epoch, 0.1 % in 50 epochs
GATE_RANGE = (1e-6, 1 - 1e-6)  # of the gates in the KL, which takes their logarithms


@dataclass(frozen=True)
class SpikeAndSlab(Posterior):
    """Each dimension is 0 with probability 1 - gate, and else drawn from the slab N(slab, exp(log_variance)).

    The encoder outputs the slab's mean, its log variance, and a number a for the gate exp(-ReLU(-a)).
    Source: Tonolini et al. 2020, section 3.3.
    """

    slab_BD: Tensor
    log_variance_BD: Tensor
    gate_BD: Tensor

    @classmethod
    def outputs(cls, dim: int) -> int:
        return 3 * dim

    @classmethod
    def of(cls, features_BE: Tensor) -> "SpikeAndSlab":
        slab_BD, log_variance_BD, a_BD = features_BE.chunk(3, dim=1)
        return cls(slab_BD, log_variance_BD.clamp(*LOG_VARIANCE_RANGE), (-(-a_BD).relu()).exp())

    @property
    def mean_BD(self) -> Tensor:
        return self.gate_BD * self.slab_BD

    @property
    def variance_BD(self) -> Tensor:
        """g (v + s^2) - (g s)^2 of a dimension that is N(s, v) with probability g, else 0."""
        return self.gate_BD * (self.log_variance_BD.exp() + self.slab_BD.square()) - self.mean_BD.square()

    def draw(self, noise: Noise) -> Draw:
        """Slab times a relaxed gate, so that the gate has a gradient; such a sample has no density."""
        dim = self.slab_BD.shape[1]
        slab_BD = self.slab_BD + (0.5 * self.log_variance_BD).exp() * noise.normal("posterior", dim)
        return Draw(relaxed(self.gate_BD, noise.uniform("gate", dim)) * slab_BD)


class SpikeAndSlabPrior(Prior):
    """Each dimension is 0 with probability 1 - alpha, and else N(0, 1)."""

    def __init__(self, dim: int, alpha: float):
        super().__init__(dim)
        self.alpha = alpha

    def log_prob(self, y_BD: Tensor) -> Tensor:
        """Log probability at 0 and log density elsewhere, in nats, shape (B,)."""
        slab_BD = math.log(self.alpha) - 0.5 * (y_BD.square() + math.log(2 * math.pi))
        return slab_BD.masked_fill(y_BD == 0, math.log(1 - self.alpha)).sum(1)

    def sample(self, noise: Noise) -> Tensor:
        return (noise.uniform("gate", self.dim) < self.alpha) * noise.normal("prior", self.dim)


def relaxed(gate: Tensor, uniform: Tensor) -> Tensor:
    """Relaxed Bernoulli(gate): sigmoid(c (u + gate - 1)), whose mean is within log(2) / c, here 0.014, of the gate."""
    return (STEEPNESS * (uniform + gate - 1)).sigmoid()


def spike_and_slab_kl(q: SpikeAndSlab, prior: SpikeAndSlabPrior) -> Tensor:
    """KL(q || prior) in nats, shape (B,): that of the slabs, weighted by the gates, plus that of the gates."""
    gate_BD, alpha = q.gate_BD.clamp(*GATE_RANGE), prior.alpha
    slab_BD = 0.5 * (q.slab_BD.square() + q.log_variance_BD.exp() - q.log_variance_BD - 1)
    open_BD = gate_BD * (gate_BD / alpha).log()
    closed_BD = (1 - gate_BD) * ((1 - gate_BD) / (1 - alpha)).log()
    return (gate_BD * slab_BD + open_BD + closed_BD).sum(1)
