"""The variational autoencoder and its beta-weighted form."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from trainables.common.lazy import LazyModule
from trainables.methods.base import Method, Setting, negative_elbo, priors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.priors import Normal
    from trainables.model import Pass
    from trainables.terms import Terms

importance = LazyModule("trainables.methods.modules.importance")
sparse = LazyModule("trainables.mappings.modules.sparse")
sums = LazyModule("trainables.sums")


class VAE(Method):
    """Plain VAE: one reparameterised sample, KL to N(0, I) in closed form.

    Loss: w nll + KL(q(z|x) || N(0, I)), and gamma L_sp(|z|) where gamma is not 0; w is `reconstruction_weight`.
    """

    name: Literal["vae"] = "vae"
    reconstruction_weight: PositiveFloat = 1.0
    """Weight of the reconstruction. VIMAE's comparison, of squared errors: 20, so that 0.05 weighs the KL, see
    search_spaces/papers/vimae_table_3.yaml."""
    gamma: NonNegativeFloat = 0.0
    """Weight of the sparse loss L_sp on |z|, Intel-VAE's ablation of its sparse mapping: 0.01 to 100; 0: no loss."""
    prior_log_variance: float = 0.0
    """Log variance of the normal prior in the KL. Intel-VAE's notebooks have 1 for the synthetic sets, by mistake."""
    importance_samples: PositiveInt = 1
    """Codes per row of the importance-weighted bound that is trained (Burda et al. 2016); 1 is the ELBO, which
    validation always has. The script of Intel-VAE's appendix C.3 has 50, of which its paper says nothing."""
    source: ClassVar[str] = "Kingma & Welling 2014"

    def prior(self, setting: Setting) -> Normal:
        return priors.normal(setting.latent_dim, self.prior_log_variance)

    def terms(self, seen: Pass) -> Terms:
        if self.importance_samples == 1 or not seen.vae.training:
            terms, z_BL = negative_elbo(seen, 1.0, self.reconstruction_weight), seen.z_BL
        else:
            terms, z_BL = importance.weighted(seen, self.importance_samples, self.reconstruction_weight)
        return terms | (self._sparse_loss(z_BL) if self.gamma else {})

    def _sparse_loss(self, z_BL: Tensor) -> Terms:
        """L_sp of the whole batch, with |z| in place of the sparse mapping's gates."""
        return {"sparsity": (self.gamma, sparse.sparsity(sums.gather(z_BL.abs())))}


class BetaVAE(Method):
    """VAE whose KL is weighted by a constant beta.

    Loss: w nll + beta KL(q(z|x) || N(0, I)); w is `reconstruction_weight`.
    """

    name: Literal["beta_vae"] = "beta_vae"
    beta: NonNegativeFloat = 1.0
    """Weight of the KL. VIMAE's beta_H: 10 or 100; beta_A: 0.2 or 0.4."""
    reconstruction_weight: PositiveFloat = 1.0
    """Weight of the reconstruction. VIMAE's comparison, of squared errors: 20, so that 0.05 weighs the KL, see
    search_spaces/papers/vimae_table_3.yaml."""
    source: ClassVar[str] = "Higgins et al. 2017; VIMAE, section 5"

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta, self.reconstruction_weight)
