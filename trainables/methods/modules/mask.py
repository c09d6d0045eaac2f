"""MaskAAE's parts: a mask on the latent axes, and a critic that distinguishes codes from prior samples."""

# Shapes: B rows, L latent dimensions.

import torch
from torch import Tensor, nn
from torch.func import grad

from trainables.networks.blocks import dense, glorot_normal

LARGEST_START = 5.0
OPEN = 0.1
"""Smallest mask value of an open axis (Mondal et al. 2020)."""


class Mask(nn.Module):
    """z = a * y, a = 1 - exp(-m) in [0, 1), with a parameter m >= 0 that is initialised uniformly in [0, 5)."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.m_L = nn.Parameter(LARGEST_START * torch.rand(latent_dim))

    def forward(self, y_BL: Tensor) -> Tensor:
        return y_BL * self.values()

    def values(self) -> Tensor:
        """a, (L,)."""
        return -torch.expm1(-self.m_L)

    def opened(self) -> Tensor:
        """1 where a >= 0.1, else 0, (L,)."""
        return (self.values() >= OPEN).to(self.m_L.dtype)

    def project(self) -> None:
        """Clip m to m >= 0 after a gradient step."""
        self.m_L.clamp_(min=0)

    def polarisation(self) -> Tensor:
        """sum_l |a_l (1 - a_l)|, a scalar: 0 if every axis is fully open or closed."""
        a_L = self.values()
        return (a_L * (1 - a_L)).abs().sum()

    def spread(self, y_BL: Tensor) -> Tensor:
        """Mean over the whole batch and axes of (y - batch mean)^2 exp(-10 a^2), a scalar: variance on closed axes."""
        weight_L = (-10 * self.values().square()).exp()
        return ((y_BL - y_BL.mean(0)).square() * weight_L).mean()


class Adversary(nn.Module):
    """The critic D, (B, L) -> (B,), large for prior samples; and the turns so far, for schedules of `unit` turns."""

    def __init__(self, latent_dim: int, width: int, depth: int, unit: int):
        super().__init__()
        self.unit = unit
        self.critic = nn.Sequential(*dense((latent_dim, *[width] * depth, 1), glorot_normal))
        self.register_buffer("turns", torch.tensor(0))

    def forward(self, z_BL: Tensor) -> Tensor:
        return self.critic(z_BL)[:, 0]

    def gradient_penalty(self, z_BL: Tensor) -> Tensor:
        """(|grad D(z)| - 1)^2 of each row, (B,) (Gulrajani et al. 2017).

        `torch.func` computes the inner gradient even inside `no_grad`.
        """
        slope_BL = grad(lambda z: self(z).sum())(z_BL)
        return (torch.linalg.vector_norm(slope_BL, dim=1) - 1).square()
