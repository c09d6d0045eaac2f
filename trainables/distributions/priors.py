"""Priors p(y), and the statistics of encoded data from which the ARD prior is estimated."""

# Shapes: B rows, D dimensions of the code y, K parts of a mixture.

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.distributions.posteriors import gaussian_log_prob
from trainables.noise import Noise
from trainables.sums import Sums

SMALLEST_VARIANCE = 1e-8
LOGISTIC_SCALE = math.sqrt(3) / math.pi  # of unit variance
SMALLEST_TAIL = 1e-6  # keeps logistic samples within 7.7 of the mean
SPIKE_SD = 0.05


class Prior(nn.Module):
    """p(y), a distribution over codes of `dim` dimensions."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    @abstractmethod
    def log_prob(self, y_BD: Tensor) -> Tensor:
        """log p(y) in nats, shape (B,)."""

    @abstractmethod
    def sample(self, noise: Noise) -> Tensor:
        """One sample (B, D) for each of the noise's rows."""


class Normal(Prior):
    """N(0, I)."""

    def log_prob(self, y_BD: Tensor) -> Tensor:
        return -0.5 * (y_BD.square() + math.log(2 * math.pi)).sum(1)

    def sample(self, noise: Noise) -> Tensor:
        return noise.normal("prior", self.dim)


class WideNormal(Normal):
    """Density N(0, exp(log_variance) I), but samples of N(0, I): so Intel-VAE's notebooks train and generate."""

    def __init__(self, dim: int, log_variance: float):
        super().__init__(dim)
        self.register_buffer("variance", torch.tensor(math.exp(log_variance)), persistent=False)

    def log_prob(self, y_BD: Tensor) -> Tensor:
        return gaussian_log_prob(y_BD, torch.zeros_like(y_BD), self.variance.log()).sum(1)


def normal(dim: int, log_variance: float = 0.0) -> Normal:
    """N(0, I), or WideNormal for a log variance other than 0."""
    return WideNormal(dim, log_variance) if log_variance else Normal(dim)


class Logistic(Prior):
    """Independent logistic axes of mean 0, variance 1 (VIMAE-l). Entropy 1.4046 nats per axis; N(0, 1) has 1.4189."""

    def log_prob(self, y_BD: Tensor) -> Tensor:
        scaled_BD = y_BD / LOGISTIC_SCALE
        return (F.logsigmoid(scaled_BD) + F.logsigmoid(-scaled_BD) - math.log(LOGISTIC_SCALE)).sum(1)

    def sample(self, noise: Noise) -> Tensor:
        return LOGISTIC_SCALE * noise.uniform("prior", self.dim).clamp(SMALLEST_TAIL, 1 - SMALLEST_TAIL).logit()


UNIT_VARIANCE = {"normal": Normal, "logistic": Logistic}


class SparseMixture(Prior):
    """Per axis gamma N(0, 0.05^2) + (1 - gamma) N(0, 1): an axis is nearly zero with probability gamma.

    Source: Mathieu et al. 2019, section 5.3 and its code.
    """

    def __init__(self, dim: int, gamma: float):
        super().__init__(dim)
        self.gamma = gamma
        self.register_buffer("log_variance_K1", torch.tensor([[SPIKE_SD**2], [1.0]]).log(), persistent=False)
        self.register_buffer("log_weight_K1", torch.tensor([[gamma], [1 - gamma]]).log(), persistent=False)

    def log_prob(self, y_BD: Tensor) -> Tensor:
        log_density_BKD = gaussian_log_prob(y_BD[:, None], y_BD.new_zeros(()), self.log_variance_K1)
        return (log_density_BKD + self.log_weight_K1).logsumexp(1).sum(1)

    def sample(self, noise: Noise) -> Tensor:
        spike_BD = noise.uniform("component", self.dim) < self.gamma
        return torch.where(spike_BD, SPIKE_SD, 1.0) * noise.normal("prior", self.dim)


class ARD(Prior):
    """N(0, diag b/a): the Gaussian form of ARD-VAE's prior, its variance estimated from D_z (eqs. 8, 9, 17, 18).

    With a0 = b0 = 0 and n encoded samples z': a = n/2 and b = 1/2 sum z'^2, so that the variance b/a is the second
    moment about zero. Both are buffers: no gradient reaches them.
    """

    def __init__(self, dim: int):
        super().__init__(dim)
        self.register_buffer("a", torch.tensor(0.5, dtype=torch.float64))
        self.register_buffer("b_D", torch.full((dim,), 0.5, dtype=torch.float64))

    @property
    def variance_D(self) -> Tensor:
        """The estimated variance b/a of each axis (eq. 18), at least 1e-8."""
        return (self.b_D / self.a).clamp_min(SMALLEST_VARIANCE).to(torch.get_default_dtype())

    def statistics(self, y_BD: Tensor) -> Sums:
        """The statistics of rows of D_z: D + 1 numbers, additive over rows and workers."""
        return {"rows": torch.tensor(float(len(y_BD)), device=y_BD.device), "square_D": y_BD.double().square().sum(0)}

    def absorb(self, sums: Sums) -> None:
        """Set a and b from the statistics of the whole D_z."""
        self.a.copy_(sums["rows"] / 2)
        self.b_D.copy_(sums["square_D"] / 2)

    def log_prob(self, y_BD: Tensor) -> Tensor:
        return -0.5 * (y_BD.square() / self.variance_D + self.variance_D.log() + math.log(2 * math.pi)).sum(1)

    def sample(self, noise: Noise) -> Tensor:
        """Samples of all axes, relevant or not (ARD-VAE-ALL)."""
        return self.variance_D.sqrt() * noise.normal("prior", self.dim)


class StudentTARD(ARD):
    """The exact form of the same prior: per axis a Student-t with 2a degrees of freedom, scale sqrt(b/a) (eq. 11)."""

    def log_prob(self, y_BD: Tensor) -> Tensor:
        freedom = 2 * self.a
        constant_D = (
            torch.lgamma((freedom + 1) / 2)
            - torch.lgamma(freedom / 2)
            - 0.5 * (freedom * math.pi).log()
            - 0.5 * self.variance_D.double().log()
        )
        kernel_BD = torch.log1p(y_BD.square() / (freedom * self.variance_D))
        return (constant_D - (freedom + 1) / 2 * kernel_BD).sum(1).to(y_BD.dtype)

    def sample(self, noise: Noise) -> Tensor:
        """Samples of all axes, relevant or not, from two uniform numbers each (Bailey 1994)."""
        freedom = 2 * self.a
        tail_BD = 1 - noise.uniform("prior", self.dim).double()  # in (0, 1]
        square_BD = freedom * torch.expm1(-2 / freedom * tail_BD.log())
        angle_BD = 2 * math.pi * noise.uniform("angle", self.dim).double()
        return self.variance_D.sqrt() * (square_BD.sqrt() * angle_BD.cos()).to(self.variance_D.dtype)


ARD_FORMS = {"gaussian": ARD, "student_t": StudentTARD}
