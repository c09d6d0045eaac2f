"""Posteriors q(y|x), one distribution per row, and how they are made from the encoder's output."""

# Shapes: B rows, D dimensions of the code y, E outputs of the encoder.

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.distributions.likelihoods import LOG_VARIANCE_RANGE
from trainables.noise import Noise

SMALLEST_SD = 1e-6


@dataclass(frozen=True)
class Draw:
    """One reparameterised sample per row, and its log density, computed only if it is called."""

    y_BD: Tensor
    log_q: Callable[[], Tensor] | None = None
    """log q(y|x) in nats, shape (B,); None for a posterior that has no density."""


class Posterior(ABC):
    """One distribution per row of a batch."""

    mean_BD: Tensor
    """The code that represents a row, (B, D)."""

    @property
    @abstractmethod
    def variance_BD(self) -> Tensor | None:
        """The variance of each dimension, (B, D); None where it has no closed form."""

    @abstractmethod
    def draw(self, noise: Noise) -> Draw:
        """One sample per row, with gradient to the encoder."""


class Head(Protocol):
    """Makes posteriors from the encoder's output: a class of posteriors, or an object with settings."""

    def outputs(self, dim: int) -> int:
        """E, the number of the encoder's outputs for a code of `dim` dimensions."""

    def of(self, features_BE: Tensor) -> Posterior:
        """The posterior with these outputs of the encoder."""


@dataclass(frozen=True)
class Gaussian(Posterior):
    """N(mean, diag exp(log_variance)). The encoder's first half is the mean, its second half the log variance."""

    mean_BD: Tensor
    log_variance_BD: Tensor

    @classmethod
    def outputs(cls, dim: int) -> int:
        return 2 * dim

    @classmethod
    def of(cls, features_BE: Tensor) -> "Gaussian":
        mean_BD, log_variance_BD = features_BE.chunk(2, dim=1)
        return cls(mean_BD, log_variance_BD.clamp(*LOG_VARIANCE_RANGE))

    @property
    def variance_BD(self) -> Tensor:
        return self.log_variance_BD.exp()

    def draw(self, noise: Noise) -> Draw:
        eps_BD = noise.normal("posterior", self.mean_BD.shape[1])
        y_BD = self.mean_BD + (0.5 * self.log_variance_BD).exp() * eps_BD
        return Draw(y_BD, lambda: self.log_prob(y_BD))

    def log_prob(self, y_BD: Tensor) -> Tensor:
        """log q(y|x) in nats, shape (B,)."""
        return gaussian_log_prob(y_BD, self.mean_BD, self.log_variance_BD).sum(1)


@dataclass(frozen=True)
class SoftplusGaussian(Gaussian):
    """N(mean, diag sd^2); the second half of the encoder's output is sd before a softplus (DD-VAE)."""

    @classmethod
    def of(cls, features_BE: Tensor) -> "SoftplusGaussian":
        mean_BD, raw_BD = features_BE.chunk(2, dim=1)
        return cls(mean_BD, 2 * (F.softplus(raw_BD) + SMALLEST_SD).log())


@dataclass(frozen=True)
class Point(Posterior):
    """A deterministic encoder: all mass at the mean. It has no density, hence no rate."""

    mean_BD: Tensor

    @classmethod
    def outputs(cls, dim: int) -> int:
        return dim

    @classmethod
    def of(cls, features_BE: Tensor) -> "Point":
        return cls(features_BE)

    @property
    def variance_BD(self) -> Tensor:
        return torch.zeros_like(self.mean_BD)

    def draw(self, noise: Noise) -> Draw:
        return Draw(self.mean_BD)


def gaussian_log_prob(y: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Elementwise log N(y; mean, exp log_variance), in nats; shapes broadcast."""
    return -0.5 * ((y - mean).square() * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi))
