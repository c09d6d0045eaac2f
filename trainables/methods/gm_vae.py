"""GM-VAE: a Gaussian mixture prior whose means and variances depend on a second latent variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveInt

from trainables.common.lazy import LazyModule, nn
from trainables.methods.base import Method, Setting

if TYPE_CHECKING:
    from trainables.distributions.mixtures import ContextMixture
    from trainables.model import Pass
    from trainables.terms import Terms

mixtures = LazyModule("trainables.distributions.mixtures")


class GMVAE(Method):
    """VAE with the prior w ~ N(0, I), k uniform, x ~ N(m_k(w), diag v_k(w)) on codes y = (x, w); x is decoded.

    The posterior is q(x|data) q(w|data) p(k|x, w): two Gaussians from one encoder, and Bayes' rule.

    Loss: nll + KL of (x, w, k), in which the part KL(p(k|x, w) || uniform) counts as `free_nats` where it is less.
    """

    name: Literal["gm_vae"] = "gm_vae"
    components: PositiveInt = 10
    """Number of components K. MNIST-01: 2."""
    context_dim: PositiveInt = 10
    """Dimensions of w, called noise in the paper. MNIST-01: 1."""
    hidden: PositiveInt = 100
    """Number of tanh units between w and the components."""
    free_nats: NonNegativeFloat = 0.0
    """Least value of KL(p(k|x, w) || uniform) per row in the loss: below it, separating the clusters costs nothing. Use
    0.5 for the paper's minimum information constraint."""
    source: ClassVar[str] = "Dilokthanakul et al. 2016; Intel-VAE, section 6.2 (baseline)"

    def code_dim(self, latent_dim: int) -> int:
        return latent_dim + self.context_dim

    def prior(self, setting: Setting) -> ContextMixture:
        return mixtures.ContextMixture(setting.latent_dim, self.context_dim, self.components, self.hidden)

    def map(self, latent_dim: int) -> nn.Module:
        return mixtures.First(latent_dim)

    def terms(self, seen: Pass) -> Terms:
        pieces = mixtures.pieces_of(seen.q, seen.vae.prior, seen.y_BD)
        terms = {"nll": (1.0, seen.decoded.nll(seen.x_BX)), "kl": (seen.kl_scale, sum(pieces))}
        if self.free_nats:  # kl + shortfall has max(KL of k, free nats) in place of KL of k
            terms["shortfall"] = (seen.kl_scale, (self.free_nats - pieces.component).clamp_min(0))
        return terms
