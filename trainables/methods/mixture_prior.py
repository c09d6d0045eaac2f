"""What the VAEs with a mixture as prior share: their objective, and what their official code does otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import NonNegativeFloat, PositiveInt

from trainables.methods.base import Method, Sampler, negative_elbo, priors

if TYPE_CHECKING:
    from trainables.data import Rows
    from trainables.model import VAE, Pass
    from trainables.terms import Terms


class MixturePrior(Method):
    """VAE whose prior is a mixture: log q(y) - log p(y), from one sample, in place of a KL in closed form."""

    components: PositiveInt
    """Components of the mixture."""
    beta: NonNegativeFloat = 1.0
    """Weight of the rate."""
    entropy_weight: NonNegativeFloat = 1.0
    """Of the posterior's entropy, times beta. The official code's log q(y) makes it the latent dimension: 50, 128."""
    generate: Literal["prior", "normal"] = "prior"
    """The latents of generated data. The paper's FIDs are of N(0, I), as its code has it, not of the mixture."""

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta) | self.more_entropy(seen)

    def more_entropy(self, seen: Pass) -> Terms:
        """What another weight than 1 adds, in nats up to a constant: "kl" remains the rate."""
        if self.entropy_weight == 1:
            return {}
        weight = (1 - self.entropy_weight) * self.beta * seen.kl_scale
        return {"entropy": (weight, 0.5 * seen.q.log_variance_BD.sum(1))}

    def sampler(self, vae: VAE, train: Rows, seed: int) -> Sampler:
        prior = {"prior": vae.prior, "normal": priors.Normal(vae.code_dim)}[self.generate]
        return lambda noise: vae.mapping(prior.sample(noise))
