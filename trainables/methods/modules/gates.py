"""Gates of GECO-L0-ARM-VAE: axes that are open or closed for all data alike, and the multiplier of its constraint."""

# Shapes: B rows, L latent dimensions.

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

START = 3.0
"""First logit of every gate: it is open with probability 0.95."""
MEMORY = 0.99
"""What a step leaves of the constraint's moving average (Rezende & Viola 2018)."""
MULTIPLIER_RANGE = (1e-6, 1e6)


class Gates(nn.Module):
    """z = y * nu, nu_l ~ Bernoulli(sigmoid(g_l)). Outside training steps a gate is open where sigmoid(g) > 1/2."""

    def __init__(self, latent_dim: int):
        super().__init__()
        self.logits_L = nn.Parameter(torch.full((latent_dim,), START))

    def forward(self, y_BL: Tensor) -> Tensor:
        return y_BL * self.opened()

    def opened(self) -> Tensor:
        """1 where sigmoid(g) > 1/2, else 0, (L,)."""
        return (self.logits_L > 0).to(self.logits_L.dtype)

    def expected(self) -> Tensor:
        """The expected number of open gates, E ||nu||_0, a scalar."""
        return self.logits_L.sigmoid().sum()

    def sampled(self, u_L: Tensor) -> Tensor:
        """nu = 1[u < sigmoid(g)] of uniform u."""
        return (u_L < self.logits_L.sigmoid()).to(u_L.dtype)

    def mirrored(self, u_L: Tensor) -> Tensor:
        """nu = 1[u > sigmoid(-g)], the same draw seen from 1 - u."""
        return (u_L > (-self.logits_L).sigmoid()).to(u_L.dtype)

    def surrogate(self, u_L: Tensor, excess_B: Tensor) -> Tensor:
        """Zeros (B,) whose gradient in g is ARM's, given each row's F(mirrored) - F(sampled), a cost at gates of one u.

        dE[F]/dg = E_u[(F(1[u > sigmoid(-g)]) - F(1[u < sigmoid(g)])) (u - 1/2)] (Yin & Zhou 2019), without bias and
        without a derivative of F.
        """
        return excess_B.detach() * ((self.logits_L - self.logits_L.detach()) * (u_L - 0.5)).sum()


class Multiplier(nn.Module):
    """lambda = softplus(l)^2 of the constraint C <= 0, and the moving average of C by which lambda rises or falls."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(_raw_of(1.0)))
        self.register_buffer("average", torch.tensor(math.nan, dtype=torch.float64))  # nan before the first step
        self.register_buffer("met", torch.tensor(False))  # whether the average has ever been at most 0

    def forward(self) -> Tensor:
        """lambda, a scalar."""
        return F.softplus(self.raw).square()

    def average_with(self, constraint: Tensor) -> Tensor:
        """C_ma = .99 C_ma + .01 C; the first C itself in the first step."""
        return torch.where(self.average.isnan(), constraint, MEMORY * self.average + (1 - MEMORY) * constraint)

    def lifted(self, factor: float, average: Tensor) -> Tensor:
        """lambda * factor, a scalar, whose gradient is that of lambda * average instead."""
        multiplier = self()
        return multiplier.detach() * factor + (multiplier - multiplier.detach()) * average.to(multiplier.dtype)

    def absorb(self, constraint: Tensor) -> None:
        """Count the step that had this constraint, and keep lambda in its range."""
        self.average.copy_(self.average_with(constraint))
        self.met.logical_or_(self.average <= 0)
        self.raw.clamp_(*map(_raw_of, MULTIPLIER_RANGE))


def _raw_of(multiplier: float) -> float:
    """l of a multiplier softplus(l)^2."""
    root = math.sqrt(multiplier)
    return root + math.log(-math.expm1(-root))
