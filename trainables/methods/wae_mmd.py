"""WAE-MMD: a deterministic autoencoder with a penalty that matches the distribution of all codes to the prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from trainables.common.lazy import LazyModule
from trainables.methods.base import Method, Phase, Setting, posteriors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.mmd import Discrepancy, Moments
    from trainables.distributions.posteriors import Point
    from trainables.model import VAE, Pass
    from trainables.noise import Noise
    from trainables.sums import Sums
    from trainables.terms import Terms

mmd = LazyModule("trainables.distributions.mmd")
pixel_noise = LazyModule("trainables.methods.modules.pixel_noise")
sums = LazyModule("trainables.sums")

TRAIN = Phase()
PRETRAIN = Phase("pretrain", parts=("encoder.",))


class WAEMMD(Method):
    """Autoencoder with a squared error * 0.05 and an MMD between all codes of a batch and N(0, I).

    The encoder is deterministic, so there is no rate and no ELBO.

    Loss: w nll + lam MMD(codes of a batch, N(0, I)), with z = E(x + noise); w is `reconstruction_weight`.
    """

    name: Literal["wae_mmd"] = "wae_mmd"
    lam: NonNegativeFloat = 10.0
    """Lambda, the weight of the MMD: MNIST 10; CelebA, CIFAR10 and ImageNet 100 (ARD-VAE, supplement, table 6)."""
    reconstruction_weight: NonNegativeFloat = 0.05
    """Weight of the reconstruction: 0.05 in WAE's code and in ARD-VAE, supplement, table 6."""
    input_noise: Literal["truncated", "clipped", "none"] = "truncated"
    """Noise on the encoder's input in training, in the data's units: N(0, 0.01^2) truncated to +-0.02 (WAE's code), or
    clipped to +-0.01 (RAE's port of WAE)."""
    pretraining_steps: NonNegativeInt = 0
    """Largest number of initial steps that match the codes' mean and covariance to the prior's: WAE's code 200, ARD-VAE
    0."""
    source: ClassVar[str] = "Tolstikhin et al. 2018 and its code; ARD-VAE, supplement, section 2"
    term_names: ClassVar[tuple[str, ...]] = ("nll", "mmd")

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (TRAIN, PRETRAIN) if self.pretraining_steps else (TRAIN,)

    def phase(self, step: int, vae: VAE) -> Phase:
        return PRETRAIN if step < self.pretraining_steps and not vae.extras.matched else TRAIN

    def posterior(self) -> type[Point]:
        return posteriors.Point

    def extras(self, setting: Setting) -> Moments:
        return mmd.Moments()

    def encoder_input(self, x_BX: Tensor, noise: Noise) -> Tensor:
        return x_BX + pixel_noise.PIXEL_NOISES[self.input_noise](noise, x_BX)

    def discrepancy(self) -> Discrepancy:
        return mmd.DISCREPANCIES["imq"]

    def terms(self, seen: Pass) -> Terms:
        if seen.phase == PRETRAIN.name:
            return {"moments": (1.0, seen.vae.extras.distance(seen.y_BD))}
        return {
            "nll": (self.reconstruction_weight, seen.decoded.nll(seen.x_BX)),
            "mmd": (self.lam, self.discrepancy().to_prior(seen.y_BD, seen.vae.prior, seen.noise)),
        }

    def after_step(self, vae: VAE, phase: Phase, mine: Sums, rows: int) -> None:
        if phase == PRETRAIN:
            vae.extras.look(sums.all_reduce(mine)["moments"] / rows)
