"""DD-VAE (Disentangling disentanglement): a sparse prior, and a term that matches the codes' distribution to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from trainables.common.lazy import LazyModule
from trainables.methods.base import Method, Setting, negative_elbo, posteriors, priors

if TYPE_CHECKING:
    from trainables.distributions.posteriors import SoftplusGaussian
    from trainables.distributions.priors import SparseMixture
    from trainables.model import Pass
    from trainables.terms import Terms

mmd = LazyModule("trainables.distributions.mmd")


class DDVAE(Method):
    """VAE whose prior has a spike at 0 on every axis, with an MMD per axis between all codes of a batch and the prior.

    The KL is estimated from one sample. The authors' code has `likelihood: {name: laplace, scale: 0.1, linear: true}`,
    `optimizer: {algorithm: amsgrad, lr: 5e-4}` and batches of 500.

    Loss: nll + beta KL(q(z|x) || p(z)) + alpha MMD, in p each axis is gamma N(0, 0.05^2) + (1 - gamma) N(0, 1).
    """

    name: Literal["dd_vae"] = "dd_vae"
    gamma: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Weight of the prior's spike N(0, 0.05^2); N(0, 1) has the rest. With 0, and alpha 0, this is the VAE."""
    alpha: NonNegativeFloat = 100.0
    """Weight of the MMD: 0 and 100 in the authors' script, for its likelihood alone. Squared errors are a hundred times
    smaller: on 5,000 images of MNIST 0.03 leaves them as they are, and from 0.3 on codes say little of the images."""
    beta: NonNegativeFloat = 1.0
    """Weight of the KL."""
    source: ClassVar[str] = "Mathieu et al. 2019, section 5, and its code"
    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl", "mmd")

    def posterior(self) -> type[SoftplusGaussian]:
        return posteriors.SoftplusGaussian

    def prior(self, setting: Setting) -> SparseMixture:
        return priors.SparseMixture(setting.latent_dim, self.gamma)

    def terms(self, seen: Pass) -> Terms:
        discrepancy = mmd.AXIS_BY_AXIS.to_prior(seen.y_BD, seen.vae.prior, seen.noise)
        return negative_elbo(seen, self.beta) | {"mmd": (self.alpha, discrepancy)}
