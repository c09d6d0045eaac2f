"""Likelihoods p(x|z): how the decoder's raw output is interpreted, and the negative log likelihood of a row."""

# Shapes: B rows, X data dimensions (C, H, W or one); the decoder's output is (B, multiple * C, H, W) or (B, multiple
# * X).

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from trainables.common.lazy import F, torch
from trainables.common.records import Record, unwritten

if TYPE_CHECKING:
    from torch import Tensor

Range = tuple[float, float] | None

LOG_VARIANCE_RANGE = (-20.0, 20.0)
"""The official codes do not clamp; this keeps exp() finite (reference: WAE clips to +-50)."""

LINKS = {
    (0.0, 1.0): lambda raw: raw.sigmoid(),
    (-1.0, 1.0): lambda raw: raw.tanh(),
    None: lambda raw: raw,
}
"""Range of the data -> function from raw output to it; None for unbounded data."""


class Likelihood(ABC):
    """The distributions p(x|z) of one batch."""

    mean_BX: Tensor

    @abstractmethod
    def nll(self, x_BX: Tensor) -> Tensor:
        """-log p(x|z) in nats, possibly without constants, shape (B,): the sum over all pixels and channels.

        Training minimises it.
        """

    def log_prob(self, x_BX: Tensor) -> Tensor:
        """log p(x|z) in nats, constants included, shape (B,)."""
        return -self.nll(x_BX)

    @abstractmethod
    def sample(self, eps_BX: Tensor) -> Tensor:
        """Generated data: the mean; only a likelihood with a learned variance adds noise."""


@dataclass(frozen=True)
class MeanOnly(Likelihood):
    """A likelihood whose generated data are its mean."""

    mean_BX: Tensor

    def sample(self, eps_BX: Tensor) -> Tensor:
        return self.mean_BX


@dataclass(frozen=True)
class SquaredErrors(MeanOnly):
    def nll(self, x_BX: Tensor) -> Tensor:
        return _sum((x_BX - self.mean_BX).square())

    def log_prob(self, x_BX: Tensor) -> Tensor:
        """log N(x; mean, 1/2 I)."""
        return -self.nll(x_BX) - math.prod(x_BX.shape[1:]) / 2 * math.log(math.pi)


@dataclass(frozen=True)
class BernoulliLogits(MeanOnly):
    logits_BX: Tensor

    def nll(self, x_BX: Tensor) -> Tensor:
        return _sum(F.binary_cross_entropy_with_logits(self.logits_BX, x_BX, reduction="none"))


@dataclass(frozen=True)
class LaplaceMeans(MeanOnly):
    scale: float

    def nll(self, x_BX: Tensor) -> Tensor:
        return _sum((x_BX - self.mean_BX).abs() / self.scale + math.log(2 * self.scale))


@dataclass(frozen=True)
class GaussianOutputs(Likelihood):
    mean_BX: Tensor
    log_variance_BX: Tensor
    log_variance_weight: float = 1.0

    def nll(self, x_BX: Tensor) -> Tensor:
        return self._energy(x_BX, self.log_variance_weight)

    def log_prob(self, x_BX: Tensor) -> Tensor:
        """log N(x; mean, exp(log variance)), whatever weight the loss gives to the log variance."""
        return -self._energy(x_BX, 1.0)

    def _energy(self, x_BX: Tensor, weight: float) -> Tensor:
        square_BX = (x_BX - self.mean_BX).square() * (-self.log_variance_BX).exp()
        return 0.5 * _sum(square_BX + weight * self.log_variance_BX + math.log(2 * math.pi))

    def sample(self, eps_BX: Tensor) -> Tensor:
        return self.mean_BX + (0.5 * self.log_variance_BX).exp() * eps_BX


class LikelihoodSpec(Record):
    """The record by which a user chooses the likelihood."""

    multiple: ClassVar[int] = 1  # raw outputs per data value
    gives: ClassVar[Literal["density", "mass"]] = "density"  # mass: treats grey values as probabilities

    @property
    def squashed(self) -> bool:
        """Whether generated data are the output of a sigmoid or hyperbolic tangent, if the data are bounded."""
        return True

    @abstractmethod
    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        """The likelihood with this raw output of the decoder, given the data's range."""


class SquaredError(LikelihoodSpec):
    """Sum of squared errors over pixels and channels, no factor 1/2.

    This is -log N(x; mean, 1/2 I) minus the constant D/2 log(pi). Up to a constant, SSE + beta KL is beta times the
    negative ELBO of a Gaussian decoder with variance beta/2.
    """

    name: Literal["squared_error"] = "squared_error"
    linear: bool = unwritten(False)
    """Uses the decoder's raw output as the mean, as in Intel-VAE's code; it may leave the data's range."""
    source: ClassVar[str] = "ARD-VAE, eq. 16 and its code"

    @property
    def squashed(self) -> bool:
        return not self.linear

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        return SquaredErrors(LINKS[None if self.linear else data_range](raw))


class Bernoulli(LikelihoodSpec):
    """Binary cross entropy with logits, summed over pixels; for data in [0, 1]."""

    name: Literal["bernoulli"] = "bernoulli"
    source: ClassVar[str] = "Intel-VAE, appendix C, and its code"
    gives: ClassVar[Literal["density", "mass"]] = "mass"

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        return BernoulliLogits(torch.sigmoid(raw), raw)


class Laplace(LikelihoodSpec):
    """Laplace density: absolute errors / scale + log(2 scale), summed over pixels."""

    name: Literal["laplace"] = "laplace"
    scale: Annotated[float, Field(gt=0)] = 1.0
    """Scale in the data's units: 1 in Intel-VAE, 0.1 in DD-VAE."""
    linear: bool = False
    """Uses the decoder's raw output as the mean, as in DD-VAE's and Intel-VAE's code; it may leave the data's range."""
    source: ClassVar[str] = "Intel-VAE, figure 7, and its code; Mathieu et al. 2019 and its code"

    @property
    def squashed(self) -> bool:
        return not self.linear

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        return LaplaceMeans(LINKS[None if self.linear else data_range](raw), self.scale)


class Gaussian(LikelihoodSpec):
    """Gaussian density with a mean and a log variance per data value, both from the decoder."""

    name: Literal["gaussian"] = "gaussian"
    log_variance_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the log variance. Intel-VAE's notebooks have the data's dimension, 2, by mistake: they fit half of the
    residuals' variance, and the model does not collapse. Unless it is 1, `nll` is no density and `elbo` no bound."""
    source: ClassVar[str] = "Intel-VAE, section 6.1 (synthetic data)"
    multiple: ClassVar[int] = 2

    @property
    def squashed(self) -> bool:
        """False: the mean is, but the noise is added after it."""
        return False

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        mean_BX, log_variance_BX = raw.chunk(2, dim=1)
        log_variance_BX = log_variance_BX.clamp(*LOG_VARIANCE_RANGE)
        return GaussianOutputs(LINKS[data_range](mean_BX), log_variance_BX, self.log_variance_weight)


LIKELIHOODS: tuple[type[LikelihoodSpec], ...] = (
    SquaredError,
    Bernoulli,
    Laplace,
    Gaussian,
)


def _sum(value_BX: Tensor) -> Tensor:
    return value_BX.flatten(1).sum(1)
