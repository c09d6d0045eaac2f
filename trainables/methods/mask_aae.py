"""MaskAAE: an adversarial autoencoder that learns which latent axes to mask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.lazy import LazyModule, nn, torch
from trainables.methods.base import Method, Phase, Setting, posteriors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.posteriors import Posterior
    from trainables.model import VAE, Pass
    from trainables.sums import Sums
    from trainables.terms import Terms

mask = LazyModule("trainables.methods.modules.mask")
sums = LazyModule("trainables.sums")

AUTOENCODER = Phase("autoencoder", ("encoder.", "decoder."))
CRITIC = Phase("critic", ("extras.",), lr_scale=0.2)
GENERATOR = Phase("generator", ("encoder.",), lr_scale=0.2)
MASK = Phase("mask", ("mapping.",))

SPREAD_WEIGHT = 100.0
PENALTY_WEIGHT = 10.0
MASK_NLL_WEIGHT = 1000.0
LARGEST_POLARISATION = 2048.0


class MaskAAE(Method):
    """Autoencoder with z = a * E(x), a trained mask a, and a critic that compares codes with a * N(0, I).

    The paper's runs have `likelihood: {name: bernoulli}`, batches of 64 and `optimizer: {algorithm: rmsprop, lr: 5e-4,
    beta2: 0.9, eps: 1e-10}`: 5e-4 for networks and mask, 1e-4 for critic and generator.

    Loss: four in turn: nll / (number of data values) + 100 times the spread of closed axes; the critic's WGAN-GP; minus
    the critic at codes; the mask's 1000 nll / (number of data values) + (1 - gap)^2 + a pull of each mask to 0 or 1,
    whose weight rises.
    """

    name: Literal["mask_aae"] = "mask_aae"
    critic_width: PositiveInt = 1024
    """Number of units of each hidden layer of the critic."""
    critic_depth: PositiveInt = 4
    """Number of hidden layers of the critic."""
    epoch_counts: Literal["rows", "turns"] = "rows"
    """An epoch is, by `rows`, one pass over the training rows, of which each of a turn's eight steps takes a batch; by
    `turns`, as many turns as there are batches, eight passes: so count the papers."""
    period: PositiveInt | None = None
    """T, the unit of the schedules in turns: every 4 T the weight that drives the mask to 0 and 1 doubles, from 2 / L
    up to 2048. Default, as in the code: 75 for L up to 20, else 112.5 L, at most 10,000. The weight reaches 2048 after
    4,200 turns for L = 16 and after 216,000 for L = 32: a smaller budget for L above 20 needs a smaller T."""
    source: ClassVar[str] = "Mondal et al. 2020, code; WGAN-GP: Gulrajani et al. 2017"
    term_names: ClassVar[tuple[str, ...]] = ("nll", "spread")
    own_metrics: ClassVar[tuple[str, ...]] = ("mask_open",)
    phases: ClassVar[tuple[Phase, ...]] = (AUTOENCODER, *[CRITIC] * 5, GENERATOR, MASK)

    def passes(self) -> int:
        return len(self.phases) if self.epoch_counts == "turns" else 1

    def posterior(self) -> type[Posterior]:
        return posteriors.Point

    def map(self, latent_dim: int) -> nn.Module:
        return mask.Mask(latent_dim)

    def extras(self, setting: Setting) -> nn.Module:
        unit = self.period or period(setting.latent_dim)
        return mask.Adversary(setting.latent_dim, self.critic_width, self.critic_depth, unit)

    def terms(self, seen: Pass) -> Terms:
        return TERMS[seen.phase](seen)

    def after_step(self, vae: VAE, phase: Phase, mine: Sums, rows: int) -> None:
        if phase == MASK:
            vae.mapping.project()
            vae.extras.turns += 1


def autoencoder_terms(seen: Pass) -> Terms:
    """Reconstruction, a mean over data values, and the variance of the unmasked codes where the mask is closed."""
    scale = loss_scale(seen.vae)
    return {
        "nll": (scale / math.prod(seen.vae.shape), seen.decoded.nll(seen.x_BX)),
        "spread": (scale * SPREAD_WEIGHT, seen.vae.mapping.spread(sums.gather(seen.y_BD))),
    }


def critic_terms(seen: Pass) -> Terms:
    """WGAN-GP on latents; the gradient penalty is at points between a code and a prior sample."""
    critic, code_BL, drawn_BL = seen.vae.extras, seen.z_BL.detach(), prior_latents(seen).detach()
    between_BL = torch.lerp(drawn_BL, code_BL, seen.noise.uniform("between", 1))
    return {
        "codes": (1.0, critic(code_BL)),
        "prior": (-1.0, critic(drawn_BL)),
        "penalty": (PENALTY_WEIGHT, critic.gradient_penalty(between_BL)),
    }


def generator_terms(seen: Pass) -> Terms:
    return {"codes": (-1.0, seen.vae.extras(seen.z_BL))}


def mask_terms(seen: Pass) -> Terms:
    """Reconstruction; (1 - critic's mean gap)^2 of the whole batch; polarisation towards 0 and 1, of rising weight."""
    vae, scale = seen.vae, loss_scale(seen.vae)
    z_BL = vae.mapping(seen.y_BD.detach())
    gap = sums.gather(vae.extras(z_BL) - vae.extras(prior_latents(seen))).mean()
    pull = polarisation_weight(vae.extras.turns, vae.latent_dim, vae.extras.unit)
    return {
        "nll": (scale * MASK_NLL_WEIGHT / math.prod(vae.shape), vae.decode(z_BL).nll(seen.x_BX)),
        "gap": (scale, (1 - gap).square()),
        "polarisation": (scale * pull, vae.mapping.polarisation()),
    }


TERMS = {
    AUTOENCODER.name: autoencoder_terms,
    CRITIC.name: critic_terms,
    GENERATOR.name: generator_terms,
    MASK.name: mask_terms,
}


def prior_latents(seen: Pass) -> Tensor:
    """Samples of a * N(0, I), one per row, (B, L)."""
    return seen.vae.mapping(seen.vae.prior.sample(seen.noise))


def period(latent_dim: int) -> int:
    """T of the official code, the unit of the schedules, in turns (cycles of the phases)."""
    return 75 if latent_dim <= 20 else min(10_000, int(112.5 * latent_dim))


def polarisation_weight(turns: Tensor, latent_dim: int, unit: int) -> Tensor:
    """2 / L, doubled every 4 units up to 2048; a scalar of float64, like `turns` on the device, which no step reads."""
    doublings = (turns // (4 * unit)).double()
    return (2 / latent_dim * 2.0**doublings).clamp(max=LARGEST_POLARISATION)


def loss_scale(vae: VAE) -> Tensor:
    """Factor of the autoencoder's and the mask's loss: 1, from turn 5 T on 1/5 (RMSProp differs by rounding only)."""
    turns = vae.extras.turns
    return torch.full_like(turns, 0.2, dtype=torch.float64).masked_fill(turns < 5 * vae.extras.unit, 1.0)
