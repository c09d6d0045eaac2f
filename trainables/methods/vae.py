"""The variational autoencoder and its beta-weighted form."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveFloat

from trainables.common.lazy import LazyModule
from trainables.methods.base import Method, Setting, negative_elbo, priors

if TYPE_CHECKING:
    from trainables.distributions.priors import Normal
    from trainables.model import Pass
    from trainables.terms import Terms

sparse = LazyModule("trainables.mappings.modules.sparse")
sums = LazyModule("trainables.sums")


class VAE(Method):
    """Plain VAE: one reparameterised sample, KL to N(0, I) in closed form."""

    name: Literal["vae"] = "vae"
    reconstruction_weight: PositiveFloat = 1.0
    """Weight of the reconstruction. VIMAE's comparison, of squared errors: 20, so that 0.05 weighs the KL, see
    search_spaces/papers/vimae_table_3.yaml."""
    gamma: NonNegativeFloat = 0.0
    """Weight of the sparse loss L_sp on |z|, Intel-VAE's ablation of its sparse mapping: 0.01 to 100; 0: no loss."""
    prior_log_variance: float = 0.0
    """Log variance of the normal prior in the KL. Intel-VAE's notebooks have 1 for the synthetic sets, by mistake."""
    source: ClassVar[str] = "Kingma & Welling 2014"

    def prior(self, setting: Setting) -> Normal:
        return priors.normal(setting.latent_dim, self.prior_log_variance)

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, 1.0, self.reconstruction_weight) | (self._sparse_loss(seen) if self.gamma else {})

    def _sparse_loss(self, seen: Pass) -> Terms:
        """L_sp of the whole batch, with |z| in place of the sparse mapping's gates."""
        return {"sparsity": (self.gamma, sparse.sparsity(sums.gather(seen.z_BL.abs())))}


class BetaVAE(Method):
    """VAE whose KL is weighted by a constant beta."""

    name: Literal["beta_vae"] = "beta_vae"
    beta: NonNegativeFloat = 1.0
    """Weight of the KL. VIMAE's beta_H: 10 or 100; beta_A: 0.2 or 0.4."""
    reconstruction_weight: PositiveFloat = 1.0
    """Weight of the reconstruction. VIMAE's comparison, of squared errors: 20, so that 0.05 weighs the KL, see
    search_spaces/papers/vimae_table_3.yaml."""
    source: ClassVar[str] = "Higgins et al. 2017; VIMAE, section 5"

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta, self.reconstruction_weight)
