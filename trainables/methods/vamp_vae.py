"""VampPrior-VAE: its prior is the mixture of the posteriors of trained pseudo inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.lazy import LazyModule
from trainables.methods.base import Setting
from trainables.methods.mixture_prior import MixturePrior

if TYPE_CHECKING:
    from trainables.distributions.mixtures import Vamp

mixtures = LazyModule("trainables.distributions.mixtures")


class VampVAE(MixturePrior):
    """VAE with the prior 1/C sum_c q(y|u_c); the C pseudo inputs u_c are trained with the rest.

    They are clipped to the data's range, initialised from training rows, and encoded with batch norm's running
    statistics, which they do not update. The official code initialises them from N(0, 1), does not clip them, and
    normalises them with their own batch statistics.
    """

    name: Literal["vamp_vae"] = "vamp_vae"
    components: PositiveInt = 500
    """Number of pseudo inputs C: 500 for images, 10 or 30 in the code's notebooks."""
    source: ClassVar[str] = "Tomczak & Welling 2018; Intel-VAE, section 6.2 (baseline) and its code"

    def prior(self, setting: Setting) -> Vamp:
        return mixtures.Vamp(
            setting.latent_dim, self.components, setting.examples_BX, setting.data_range, setting.encode
        )
