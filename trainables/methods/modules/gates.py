"""Gates of GECO-L0-ARM-VAE, which open or close axes for all rows alike, and the multiplier of its constraint."""

# Shapes: B rows, L latent dimensions.

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

START = 3.0
"""Initial k g of every gate: it is open with probability 0.95."""
MEMORY = 0.99
"""Decay of the constraint's moving average per step (Rezende & Viola 2018)."""
MULTIPLIER_RANGE = (1e-6, 1e6)


class Gates(nn.Module):
    """z = y * nu, nu_l ~ Bernoulli(sigmoid(k g_l)). Outside training steps a gate is open where sigmoid(k g) > 1/2."""

    def __init__(self, latent_dim: int, k: float = 1.0):
        super().__init__()
        self.k = k
        self.logits_L = nn.Parameter(torch.full((latent_dim,), START / k))

    def forward(self, y_BL: Tensor) -> Tensor:
        return y_BL * self.opened()

    def opened(self) -> Tensor:
        """1 where sigmoid(k g) > 1/2, else 0, (L,)."""
        return (self.logits_L > 0).to(self.logits_L.dtype)

    def probabilities(self) -> Tensor:
        """sigmoid(k g), (L,)."""
        return (self.k * self.logits_L).sigmoid()

    def expected(self) -> Tensor:
        """The expected number of open gates, E ||nu||_0, a scalar."""
        return self.probabilities().sum()

    def sampled(self, u_L: Tensor) -> Tensor:
        """nu = 1[u < sigmoid(k g)] for uniform u."""
        return (u_L < self.probabilities()).to(u_L.dtype)

    def mirrored(self, u_L: Tensor) -> Tensor:
        """nu = 1[u > sigmoid(-k g)], the antithetic sample, with 1 - u for u."""
        return (u_L > (-self.k * self.logits_L).sigmoid()).to(u_L.dtype)

    def surrogate(self, u_L: Tensor, excess_B: Tensor) -> Tensor:
        """Zeros (B,) whose gradient with respect to g is ARM's estimate, from each row's F(mirrored) - F(sampled).

        dE[F]/dg = k E_u[(F(1[u > sigmoid(-k g)]) - F(1[u < sigmoid(k g)])) (u - 1/2)] (Yin & Zhou 2019), unbiased and
        without a derivative of the cost F.
        """
        return excess_B.detach() * (self.k * (self.logits_L - self.logits_L.detach()) * (u_L - 0.5)).sum()


class Multiplier(nn.Module):
    """lambda = softplus(l)^2 of the constraint C <= 0, and the moving average of C, whose sign raises or lowers it."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(_raw_of(1.0)))
        self.register_buffer("average", torch.tensor(math.nan, dtype=torch.float64))  # nan before the first step
        self.register_buffer("met", torch.tensor(False))  # whether the average has ever been at most 0
        self._was_met = False  # what is known of it
        self.register_load_state_dict_post_hook(_ask_again)

    def was_met(self) -> bool:
        """Whether the constraint has been met. Once it has, the device is no longer asked, which a step waits for."""
        self._was_met = self._was_met or bool(self.met)
        return self._was_met

    def forward(self) -> Tensor:
        """lambda, a scalar."""
        return F.softplus(self.raw).square()

    def average_with(self, constraint: Tensor) -> Tensor:
        """C_ma = .99 C_ma + .01 C; C itself in the first step."""
        return torch.where(self.average.isnan(), constraint, MEMORY * self.average + (1 - MEMORY) * constraint)

    def lifted(self, factor: float, average: Tensor) -> Tensor:
        """lambda * factor, a scalar, whose gradient is that of lambda * average instead."""
        multiplier = self()
        return multiplier.detach() * factor + (multiplier - multiplier.detach()) * average.to(multiplier.dtype)

    def absorb(self, constraint: Tensor) -> None:
        """Update the moving average with a step's constraint, and clip lambda to its range."""
        self.average.copy_(self.average_with(constraint))
        self.met.logical_or_(self.average <= 0)
        self.raw.clamp_(*map(_raw_of, MULTIPLIER_RANGE))


def _ask_again(multiplier: Multiplier, _) -> None:
    multiplier._was_met = False


def _raw_of(multiplier: float) -> float:
    """l such that softplus(l)^2 is the multiplier."""
    root = math.sqrt(multiplier)
    return root + math.log(-math.expm1(-root))
