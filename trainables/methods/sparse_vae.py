"""Sparse-VAE (variational sparse coding): spike-and-slab codes, with most dimensions of a row at 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from trainables.common.lazy import LazyModule
from trainables.methods.base import Method, Sampler, Setting, negative_elbo, priors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.posteriors import Head
    from trainables.distributions.priors import Prior
    from trainables.model import VAE, Pass
    from trainables.terms import Terms

spike_slab = LazyModule("trainables.distributions.spike_slab")


class SparseVAE(Method):
    """VAE with a spike-and-slab posterior and prior: a dimension is 0, or drawn from a Gaussian.

    Gates are relaxed with steepness 50. The code that Intel-VAE used adds 0.001 to it in each epoch, 0.1 % in 50: that
    is not followed.

    Loss: nll + beta KL(q(z|x) || p(z)); in p each dimension is N(0, 1) with probability alpha, else 0.
    """

    name: Literal["sparse_vae"] = "sparse_vae"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Prior probability that a dimension is not 0: 0.01 and 0.2 in Intel-VAE's comparison."""
    beta: NonNegativeFloat = 1.0
    """Weight of the KL."""
    generate: Literal["prior", "normal"] = "prior"
    """Distribution of the latents of generated data. The official code uses N(0, I), which differs from the prior."""
    source: ClassVar[str] = "Tonolini et al. 2020; Intel-VAE, section 6.3"

    def posterior(self) -> Head:
        return spike_slab.SpikeAndSlab

    def prior(self, setting: Setting) -> Prior:
        return spike_slab.SpikeAndSlabPrior(setting.latent_dim, self.alpha)

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta)

    def sampler_of(self, vae: VAE, fitted: dict[str, Tensor]) -> Sampler:
        return {"prior": vae.prior, "normal": priors.Normal(vae.latent_dim)}[self.generate].sample
