"""MaskAAE's parts: a mask on the latent axes, and a critic that tells codes from the prior's."""

# Shapes: B rows, L latent dimensions.

import torch
from torch import Tensor, nn
from torch.func import grad

from trainables.networks.blocks import dense, glorot_normal

LARGEST_START = 5.0
OPEN = 0.1
"""An axis counts as open from this mask value on (Mondal et al. 2020)."""


class Mask(nn.Module):
    """z = a * y, a = 1 - exp(-m) in [0, 1) of a parameter m >= 0 that starts uniform on [0, 5)."""

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
        """Bring m back to m >= 0 after a gradient step."""
        self.m_L.clamp_(min=0)

    def polarisation(self) -> Tensor:
        """sum_l |a_l (1 - a_l)|, a scalar: 0 where every axis is fully open or closed."""
        a_L = self.values()
        return (a_L * (1 - a_L)).abs().sum()

    def spread(self, y_BL: Tensor) -> Tensor:
        """Mean over a whole batch and its axes of (y - batch mean)^2 exp(-10 a^2), a scalar: how closed axes vary."""
        weight_L = (-10 * self.values().square()).exp()
        return ((y_BL - y_BL.mean(0)).square() * weight_L).mean()


class Adversary(nn.Module):
    """The critic D, (B, L) -> (B,), large for the prior's codes; and the number of turns taken, for the schedules."""

    def __init__(self, latent_dim: int, width: int, depth: int):
        super().__init__()
        self.critic = nn.Sequential(*dense((latent_dim, *[width] * depth, 1), glorot_normal))
        self.register_buffer("turns", torch.tensor(0))

    def forward(self, z_BL: Tensor) -> Tensor:
        return self.critic(z_BL)[:, 0]

    def gradient_penalty(self, z_BL: Tensor) -> Tensor:
        """(|grad D(z)| - 1)^2 of each row, (B,) (Gulrajani et al. 2017).

        `torch.func` takes the inner gradient even where an outer `no_grad` is on.
        """
        slope_BL = grad(lambda z: self(z).sum())(z_BL)
        return (torch.linalg.vector_norm(slope_BL, dim=1) - 1).square()
