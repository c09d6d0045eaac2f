"""A VAE with a target rate: VIMAE's model of minimal rate, equation 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat

from trainables.common.lazy import LazyModule
from trainables.methods.base import Method, negative_elbo

if TYPE_CHECKING:
    from trainables.model import Pass
    from trainables.terms import Terms

sums = LazyModule("trainables.sums")


class RateBoundVAE(Method):
    """VAE with a penalty on the distance of the rate to R_0: reconstruction + beta |R_0 - mean KL of the batch|.

    Loss: w nll + beta |R_0 - mean of KL(q(z|x) || N(0, I)) over the batch|.
    """

    name: Literal["rate_bound_vae"] = "rate_bound_vae"
    rate: NonNegativeFloat
    """Target rate R_0 in nats per row. VIMAE states none; 5, 10, 20 and 40 are worth a try on MNIST."""
    beta: NonNegativeFloat = 1.0
    """Weight of the distance between the rate and R_0. Where a nat of rate saves more than beta of the weighted
    reconstruction, the rate stays above R_0, as in a beta-VAE: then the bound needs a larger beta."""
    reconstruction_weight: NonNegativeFloat = 0.05
    """Weight of the reconstruction: 0.05 of the squared error in all of VIMAE's models, after WAE's code."""
    source: ClassVar[str] = "VIMAE, equation 4; Alemi et al. 2018"
    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl", "rate_gap")

    def terms(self, seen: Pass) -> Terms:
        """The gap is in nats. The KL has weight 0 and is only reported."""
        (_, nll_B), (_, kl_B) = negative_elbo(seen, beta=1.0).values()
        gap = (self.rate - sums.gather(kl_B).mean()).abs()
        return {
            "nll": (self.reconstruction_weight, nll_B),
            "kl": (0.0, kl_B),
            "rate_gap": (self.beta * seen.kl_scale, gap),
        }
