"""VAE: encoder -> posterior -> mapping -> decoder, with a prior. Pass: the results of its forward pass on a batch.

The model does not depend on methods: `learner.py` builds one from a method's parts.
"""

# Shapes: B rows, X data dimensions, D dimensions of the code y, L latent dimensions of z.

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor, nn

from trainables.distributions.likelihoods import Likelihood, LikelihoodSpec, Range
from trainables.distributions.posteriors import Draw, Head, Posterior
from trainables.distributions.priors import Prior
from trainables.noise import Noise
from trainables.precision import Precision, autocast

Form = Literal["square_mean_abs", "mean_square"]
Latents = Literal["samples", "means"]
"""How the weight of an axis is computed from the decoder's Jacobian; see `trainables.relevance.weight`."""
Encode = Callable[[Tensor], Posterior]
"""Rows (B, X) -> q(y|x)."""


@dataclass(frozen=True)
class Parts:
    """What a VAE is built from, except its prior and extras."""

    shape: tuple[int, ...]
    """Shape of a row of data."""
    code_dim: int
    """D, the dimensions of the code y."""
    latent_dim: int
    """L, the dimensions of the representation z."""
    encoder: nn.Module
    """(B, X) -> (B, E), the input of the posterior."""
    posterior: Head
    """Makes q(y|x) from the encoder's output."""
    mapping: nn.Module
    """z = g(y): (B, D) -> (B, L)."""
    decoder: nn.Module
    """(B, L) -> the input of the likelihood."""
    likelihood: LikelihoodSpec
    data_range: Range
    precision: Precision
    """Precision of the encoder's and the decoder's arithmetic."""
    encoder_input: Callable[[Tensor, Noise], Tensor]
    """Transforms training rows before the encoder, for example by adding noise."""
    relevance_form: Form
    relevance_at: Latents


class VAE(nn.Module):
    """A method's parts around a network.

    Args:
        prior: makes the prior from `encode_as_in_evaluation`, which some priors need.
        extras: makes the method's other parameters and state, likewise.
    """

    def __init__(self, parts: Parts, prior: Callable[[Encode], Prior], extras: Callable[[Encode], nn.Module]):
        super().__init__()
        self.precision, self.likelihood, self.data_range = parts.precision, parts.likelihood, parts.data_range
        self.shape, self.code_dim, self.latent_dim = parts.shape, parts.code_dim, parts.latent_dim
        self.posterior, self.encoder_input = parts.posterior, parts.encoder_input
        self.relevance_form, self.relevance_at = parts.relevance_form, parts.relevance_at
        self.encoder = parts.encoder
        self.mapping = parts.mapping
        self.decoder = parts.decoder
        self.prior = prior(self.encode_as_in_evaluation)
        self.extras = extras(self.encode_as_in_evaluation)

    def encode(self, x_BX: Tensor) -> Posterior:
        """q(y|x)."""
        with autocast(self.precision, x_BX.device):
            features_BE = self.encoder(x_BX)
        return self.posterior.of(features_BE.to(x_BX.dtype))

    def encode_as_in_evaluation(self, x_BX: Tensor) -> Posterior:
        """q(y|x) with gradient; batch norm uses its running statistics and does not update them."""
        training = self.encoder.training
        self.encoder.eval()
        q = self.encode(x_BX)
        self.encoder.train(training)
        return q

    def decode(self, z_BL: Tensor, precision: Precision | None = None) -> Likelihood:
        """p(x|z). `precision` of the arithmetic: the model's where None."""
        with autocast(precision or self.precision, z_BL.device):
            raw = self.decoder(z_BL)
        return self.likelihood.of(raw.to(z_BL.dtype), self.data_range)

    def forward(self, x_BX: Tensor, noise: Noise, kl_scale: float = 1.0, phase: str = "all") -> "Pass":
        q = self.encode(self.encoder_input(x_BX, noise) if self.training else x_BX)
        drawn = q.draw(noise)
        z_BL = self.mapping(drawn.y_BD)
        return Pass(self, x_BX, noise, q, drawn, z_BL, kl_scale, phase)

    def represent(self, x_BX: Tensor) -> Tensor:
        """The representation z = g(mean of q), (B, L)."""
        return self.mapping(self.encode(x_BX).mean_BD)

    def sample_latents(self, x_BX: Tensor, noise: Noise) -> Tensor:
        """z = g(y), y ~ q(y|x), (B, L)."""
        return self.mapping(self.encode(x_BX).draw(noise).y_BD)


@dataclass(frozen=True)
class Pass:
    """The results of a forward pass on one batch: everything that an objective may use."""

    vae: VAE
    x_BX: Tensor
    noise: Noise
    q: Posterior  # q(y|x)
    drawn: Draw  # a sample y of q
    z_BL: Tensor  # mapping(y)
    kl_scale: float = 1.0  # KL warm-up: 0 at the start of training, 1 once the warm-up is over
    phase: str = "all"  # the method's phase whose gradient step this is

    @property
    def y_BD(self) -> Tensor:
        return self.drawn.y_BD

    @cached_property
    def decoded(self) -> Likelihood:
        """p(x|z), computed at first use, as not every phase needs it."""
        return self.vae.decode(self.z_BL)
