"""Intel-VAE: inductive biases through a mapping between the Gaussian latent and the decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat

from trainables.common.lazy import nn
from trainables.common.records import Mistake, choice, within
from trainables.mappings import MAPPINGS
from trainables.methods.base import Method, Setting, negative_elbo, priors

if TYPE_CHECKING:
    from trainables.distributions.priors import Normal
    from trainables.model import Pass
    from trainables.terms import Terms


class IntelVAE(Method):
    """VAE with z = g(y): the KL is of y ~ q(y|x), the decoder's input is z, and g is trained with the rest.

    With the identity mapping it is exactly the plain VAE. The authors' code stops early, once the FID of 2,000 images
    to the first 2,000 test images has not improved for 5 epochs. That is not followed: it selects by test data, and
    here the best epoch by the objective is kept.

    Loss: nll(x | g(y)) + beta KL(q(y|x) || N(0, I)) + the mapping's own term, if it has one.
    """

    name: Literal["intel_vae"] = "intel_vae"
    mapping: choice(MAPPINGS)
    """The mapping g from the code y to the representation z."""
    beta: NonNegativeFloat = 1.0
    """Weight of the KL."""
    prior_log_variance: float = 0.0
    """Log variance of the normal prior in the KL. The notebooks have 1 for the synthetic sets, by mistake."""
    source: ClassVar[str] = "Intel-VAE, sections 4 and 5"

    def prior(self, setting: Setting) -> Normal:
        return priors.normal(setting.latent_dim, self.prior_log_variance)

    def map(self, latent_dim: int) -> nn.Module:
        return self.mapping.build(latent_dim)

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta) | self.mapping.terms(seen.vae.mapping, seen.y_BD)

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        return within("mapping", self.mapping.mistakes(latent_dim))
