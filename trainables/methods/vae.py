"""The variational autoencoder and its beta-weighted form."""

from typing import ClassVar, Literal

from pydantic import NonNegativeFloat

from trainables.methods.base import Method, negative_elbo
from trainables.objective import Pass, Terms


class VAE(Method):
    """Plain VAE: one reparameterised sample, KL to N(0, I) in closed form."""

    name: Literal["vae"] = "vae"
    source: ClassVar[str] = "Kingma & Welling 2014"

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, beta=1.0)


class BetaVAE(Method):
    """VAE whose KL is weighted by a constant beta."""

    name: Literal["beta_vae"] = "beta_vae"
    beta: NonNegativeFloat = 1.0
    """VIMAE's beta_H: 10 or 100; beta_A: 0.2 or 0.4."""
    source: ClassVar[str] = "Higgins et al. 2017; VIMAE, section 5"

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta)
