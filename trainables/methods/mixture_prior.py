"""The base of VAEs with a mixture prior: their objective, with options for what the official code does differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import NonNegativeFloat, PositiveInt

from trainables.methods.base import Method, Sampler, negative_elbo, priors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.model import VAE, Pass
    from trainables.terms import Terms


class MixturePrior(Method):
    """VAE with a mixture prior: its rate is log q(y) - log p(y), from one sample, instead of a KL in closed form."""

    components: PositiveInt
    """Number of components of the mixture."""
    beta: NonNegativeFloat = 1.0
    """Weight of the rate."""
    entropy_weight: NonNegativeFloat = 1.0
    """Weight of the posterior's entropy, times beta. The official code effectively has the latent dimension, 50 or 128,
    because of its log q(y)."""
    generate: Literal["prior", "normal"] = "prior"
    """Distribution of the latents of generated data. The paper's FIDs use N(0, I), as in its code, not the mixture."""

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta) | self.more_entropy(seen)

    def more_entropy(self, seen: Pass) -> Terms:
        """The term for an entropy weight other than 1, in nats up to a constant, so that "kl" remains the rate."""
        if self.entropy_weight == 1:
            return {}
        weight = (1 - self.entropy_weight) * self.beta * seen.kl_scale
        return {"entropy": (weight, 0.5 * seen.q.log_variance_BD.sum(1))}

    def sampler_of(self, vae: VAE, fitted: dict[str, Tensor]) -> Sampler:
        prior = {"prior": vae.prior, "normal": priors.Normal(vae.code_dim)}[self.generate]
        return lambda noise: vae.mapping(prior.sample(noise))
