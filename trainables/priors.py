"""Priors p(y), and the statistics of encoded data from which the ARD prior is made."""

# Shapes: B rows, D latent dimensions.

import math

import torch
from torch import Tensor, nn

from trainables.sums import Sums

SMALLEST_VARIANCE = 1e-8


class Normal(nn.Module):
    """N(0, I)."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim

    def log_prob(self, y_BD: Tensor) -> Tensor:
        """log p(y) in nats, shape (B,)."""
        return -0.5 * (y_BD.square() + math.log(2 * math.pi)).sum(1)

    def sample(self, eps_BD: Tensor) -> Tensor:
        """Prior samples made of N(0, 1) noise of the same shape."""
        return eps_BD


class ARD(nn.Module):
    """N(0, diag b/a): the Gaussian form of ARD-VAE's prior, its variance estimated from D_z (eqs. 8, 9, 17, 18).

    With a0 = b0 = 0 and n encoded samples z': a = n/2 and b = 1/2 sum z'^2, so that the variance b/a is the second
    moment about zero. Both are buffers: no gradient reaches them.
    """

    def __init__(self, latent_dim: int):
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("a", torch.tensor(0.5, dtype=torch.float64))
        self.register_buffer("b_D", torch.full((latent_dim,), 0.5, dtype=torch.float64))

    @property
    def variance_D(self) -> Tensor:
        """The estimated variance b/a of each axis (eq. 18), at least 1e-8."""
        return (self.b_D / self.a).clamp_min(SMALLEST_VARIANCE).to(torch.get_default_dtype())

    def statistics(self, y_BD: Tensor) -> Sums:
        """What D_z contributes: L + 1 numbers, additive over rows and workers."""
        return {"rows": torch.tensor(float(len(y_BD)), device=y_BD.device), "square_D": y_BD.double().square().sum(0)}

    def absorb(self, sums: Sums) -> None:
        """Make a and b of the statistics of the whole D_z."""
        self.a.copy_(sums["rows"] / 2)
        self.b_D.copy_(sums["square_D"] / 2)

    def log_prob(self, y_BD: Tensor) -> Tensor:
        """log p(y|D_z) in nats, shape (B,)."""
        return -0.5 * (y_BD.square() / self.variance_D + self.variance_D.log() + math.log(2 * math.pi)).sum(1)

    def sample(self, eps_BD: Tensor) -> Tensor:
        """Prior samples made of N(0, 1) noise of the same shape; every axis, relevant or not (ARD-VAE-ALL)."""
        return self.variance_D.sqrt() * eps_BD


class StudentTARD(ARD):
    """The exact form of the same prior (eq.

    11): per axis a Student-t with 2a degrees of freedom and scale sqrt(b/a).
    """

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


Prior = Normal | ARD
