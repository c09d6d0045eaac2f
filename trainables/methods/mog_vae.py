"""MoG-VAE: a fixed mixture of Gaussians as prior."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from trainables.common.lazy import LazyModule
from trainables.common.records import Mistake
from trainables.methods.base import Setting
from trainables.methods.mixture_prior import MixturePrior

if TYPE_CHECKING:
    from trainables.distributions.mixtures import FixedMixture

mixtures = LazyModule("trainables.distributions.mixtures")

Means = Literal["frame", "axes"]


class MoGVAE(MixturePrior):
    """VAE with the prior 1/K sum_k N(m_k, v I), with K fixed means at distance 2 from the origin.

    Loss: nll + beta (log q(y|x) - log p(y)), from one sample.
    """

    name: Literal["mog_vae"] = "mog_vae"
    components: PositiveInt = 10
    """Number of components K. The paper states none for MNIST; its code has 2 (MNIST-01) and 4."""
    means: Means = "frame"
    """`frame`: orthonormal directions, random but the same in every run. `axes`: in pairs at +-2 on the first K/2 axes,
    as in the official code for K = 2 and 4."""
    variance: PositiveFloat = 1.0
    """Variance v of each component. The official code has 2.71828, a log variance of 1."""
    source: ClassVar[str] = "Intel-VAE, section 6.2 (baseline) and its code"

    def prior(self, setting: Setting) -> FixedMixture:
        means_KD = mixtures.MEANS[self.means](self.components, setting.latent_dim)
        return mixtures.FixedMixture(means_KD, self.variance)

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        most = {"frame": latent_dim, "axes": 2 * latent_dim}[self.means]
        if self.components > most:
            room = f"'{self.means}' has room for {most} means in {latent_dim} latent dimensions, not {self.components}"
            yield "components", f"{room}. Take fewer components, or more latent dimensions."
        if self.means == "axes" and self.components % 2:
            yield "components", f"means on 'axes' come in pairs, {self.components} do not. Use an even number."
