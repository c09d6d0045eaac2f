"""Posteriors: what the encoder's output means. q(y|x), one distribution per row."""

# Shapes: B rows, D latent dimensions, E = heads * D outputs of the encoder.

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainables.noise import Noise

LOG_VARIANCE_RANGE = (-20.0, 20.0)
"""The official codes do not clamp; this keeps exp() finite (reference: WAE clips to +-50)."""


@dataclass(frozen=True)
class Gaussian:
    """N(mean, diag exp(log_variance)). The encoder's first half is the mean, its second half the log variance."""

    mean_BD: Tensor
    log_variance_BD: Tensor
    heads: ClassVar[int] = 2

    @classmethod
    def of(cls, features_BE: Tensor) -> "Gaussian":
        mean_BD, log_variance_BD = features_BE.chunk(2, dim=1)
        return cls(mean_BD, log_variance_BD.clamp(*LOG_VARIANCE_RANGE))

    def sample(self, noise: Noise) -> Tensor:
        """One reparameterised sample per row."""
        eps_BD = noise.normal("posterior", self.mean_BD.shape[1])
        return self.mean_BD + (0.5 * self.log_variance_BD).exp() * eps_BD

    def log_prob(self, y_BD: Tensor) -> Tensor:
        """log q(y|x) in nats, shape (B,)."""
        square_BD = (y_BD - self.mean_BD).square() * (-self.log_variance_BD).exp()
        return -0.5 * (square_BD + self.log_variance_BD + math.log(2 * math.pi)).sum(1)


@dataclass(frozen=True)
class Point:
    """A deterministic encoder: all mass on the mean. It has no density, hence no `log_prob` and no rate."""

    mean_BD: Tensor
    heads: ClassVar[int] = 1

    @classmethod
    def of(cls, features_BE: Tensor) -> "Point":
        return cls(features_BE)

    def sample(self, noise: Noise) -> Tensor:
        return self.mean_BD


Posterior = Gaussian | Point
