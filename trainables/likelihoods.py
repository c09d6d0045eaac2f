"""Likelihoods p(x|z): what the decoder's raw output means, and the negative log likelihood of a row."""

# Shapes: B rows, X data dimensions (C, H, W or one); the decoder's output is (B, multiple * C, H, W) or (B, multiple
# * X).

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainables.posteriors import LOG_VARIANCE_RANGE
from trainables.records import Record

Range = tuple[float, float] | None

LINKS = {(0.0, 1.0): torch.sigmoid, (-1.0, 1.0): torch.tanh, None: lambda raw: raw}
"""From raw output to the data's range; None is data without bounds."""


class Likelihood(Protocol):
    """The decoder's output for one batch, as a distribution."""

    mean_BX: Tensor

    def nll(self, x_BX: Tensor) -> Tensor:
        """Negative log likelihood in nats, shape (B,): a sum over all pixels and channels."""

    def sample(self, eps_BX: Tensor) -> Tensor:
        """What generation shows. The mean; only a learned variance adds its noise."""


@dataclass(frozen=True)
class MeanOnly:
    """A likelihood that generation shows by its mean."""

    mean_BX: Tensor

    def sample(self, eps_BX: Tensor) -> Tensor:
        return self.mean_BX


@dataclass(frozen=True)
class SquaredErrors(MeanOnly):
    def nll(self, x_BX: Tensor) -> Tensor:
        return _sum((x_BX - self.mean_BX).square())


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
class GaussianOutputs:
    mean_BX: Tensor
    log_variance_BX: Tensor

    def nll(self, x_BX: Tensor) -> Tensor:
        square_BX = (x_BX - self.mean_BX).square() * (-self.log_variance_BX).exp()
        return 0.5 * _sum(square_BX + self.log_variance_BX + math.log(2 * math.pi))

    def sample(self, eps_BX: Tensor) -> Tensor:
        return self.mean_BX + (0.5 * self.log_variance_BX).exp() * eps_BX


class LikelihoodSpec(Record):
    """What a user writes: which likelihood the decoder's output is given."""

    multiple: ClassVar[int] = 1  # raw outputs per data value

    @abstractmethod
    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        """The likelihood that the decoder's raw output stands for, given the data's range."""


class SquaredError(LikelihoodSpec):
    """Sum of squared errors over pixels and channels, no factor 1/2.

    This is -log N(x; mean, 1/2 I) less the constant D/2 log(pi). SSE + beta KL is beta times the negative ELBO, up to a
    constant, of a Gaussian decoder with variance beta/2.
    """

    name: Literal["squared_error"] = "squared_error"
    source: ClassVar[str] = "ARD-VAE, eq. 16 and its code"

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        return SquaredErrors(LINKS[data_range](raw))


class Bernoulli(LikelihoodSpec):
    """Binary cross entropy with logits, summed over pixels; for data in [0, 1]."""

    name: Literal["bernoulli"] = "bernoulli"
    source: ClassVar[str] = "Intel-VAE, appendix C, and its code"

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        return BernoulliLogits(torch.sigmoid(raw), raw)


class Laplace(LikelihoodSpec):
    """Laplace density: absolute errors / scale + log(2 scale), summed over pixels."""

    name: Literal["laplace"] = "laplace"
    scale: Annotated[float, Field(gt=0)] = 1.0  # in the data's units; Intel-VAE uses 1, DD-VAE 0.1
    source: ClassVar[str] = "Intel-VAE, figure 7, and its code"

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        return LaplaceMeans(LINKS[data_range](raw), self.scale)


class Gaussian(LikelihoodSpec):
    """Gaussian density whose mean and log variance the decoder gives, per data value."""

    name: Literal["gaussian"] = "gaussian"
    source: ClassVar[str] = "Intel-VAE, section 6.1 (synthetic data)"
    multiple: ClassVar[int] = 2

    def of(self, raw: Tensor, data_range: Range) -> Likelihood:
        mean_BX, log_variance_BX = raw.chunk(2, dim=1)
        return GaussianOutputs(LINKS[data_range](mean_BX), log_variance_BX.clamp(*LOG_VARIANCE_RANGE))


LIKELIHOODS: tuple[type[LikelihoodSpec], ...] = (
    SquaredError,
    Bernoulli,
    Laplace,
    Gaussian,
)


def _sum(value_BX: Tensor) -> Tensor:
    return value_BX.flatten(1).sum(1)
