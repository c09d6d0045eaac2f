"""The VAE that is held at a rate: VIMAE's model of minimal rate, equation 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from trainables.common.lazy import LazyModule
from trainables.methods.base import Method, negative_elbo

if TYPE_CHECKING:
    from trainables.model import Pass
    from trainables.terms import Terms

sums = LazyModule("trainables.sums")


class RateBoundVAE(Method):
    """VAE whose rate is drawn to R_0 from both sides: reconstruction + beta |R_0 - mean KL of the batch|."""

    name: Literal["rate_bound_vae"] = "rate_bound_vae"
    rate: NonNegativeFloat
    """R_0, nats per row. VIMAE names none; 5, 10, 20 and 40 are worth a try on MNIST."""
    beta: Annotated[float, Field(ge=1)] = 1.0
    """Weight of the distance between the rate and R_0."""
    reconstruction_weight: NonNegativeFloat = 0.05
    """Of the squared error in all of VIMAE's models, after WAE's code."""
    source: ClassVar[str] = "VIMAE, equation 4; Alemi et al. 2018"
    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl", "rate_gap")

    def terms(self, seen: Pass) -> Terms:
        """The gap is in nats. The KL itself is there to be reported."""
        (_, nll_B), (_, kl_B) = negative_elbo(seen, beta=1.0).values()
        gap = (self.rate - sums.gather(kl_B).mean()).abs()
        return {
            "nll": (self.reconstruction_weight, nll_B),
            "kl": (0.0, kl_B),
            "rate_gap": (self.beta * seen.kl_scale, gap),
        }
