"""VAE: encoder -> posterior -> mapping -> decoder, with a prior. Learner: what is trained."""

# Shapes: B rows, X data dimensions, D latent dimensions.

import torch
from torch import Tensor, nn

from trainables.likelihoods import Likelihood, LikelihoodSpec, Range
from trainables.methods import Method
from trainables.networks import Network
from trainables.noise import Noise
from trainables.objective import Pass, Terms
from trainables.posteriors import Posterior
from trainables.precision import Precision, autocast
from trainables.sums import Sums


class VAE(nn.Module):
    """A method's parts around a network. Every tensor but the raw data passes through here."""

    def __init__(
        self,
        method: Method,
        network: Network,
        likelihood: LikelihoodSpec,
        shape: tuple[int, ...],
        data_range: Range,
        precision: Precision = "fp32",
    ):
        super().__init__()
        self.precision = precision
        self.posterior, self.likelihood, self.shape, self.data_range = method.posterior, likelihood, shape, data_range
        self.latent_dim = network.latent_dim
        self.encoder = network.encoder(shape, self.posterior.heads * self.latent_dim)
        self.mapping = method.map(self.latent_dim)
        self.decoder = network.decoder(shape, self.latent_dim, likelihood.multiple)
        self.prior = method.prior(self.latent_dim)

    def encode(self, x_BX: Tensor) -> Posterior:
        """q(y|x)."""
        with autocast(self.precision, x_BX.device):
            features_BE = self.encoder(x_BX)
        return self.posterior.of(features_BE.to(x_BX.dtype))

    def decode(self, z_BD: Tensor) -> Likelihood:
        """p(x|z)."""
        with autocast(self.precision, z_BD.device):
            raw = self.decoder(z_BD)
        return self.likelihood.of(raw.to(z_BD.dtype), self.data_range)

    def forward(self, x_BX: Tensor, noise: Noise, kl_scale: float = 1.0) -> Pass:
        q = self.encode(x_BX)
        y_BD = q.sample(noise)
        z_BD = self.mapping(y_BD)
        return Pass(x_BX, q, y_BD, z_BD, self.decode(z_BD), self.prior, self.mapping, kl_scale)

    def represent(self, x_BX: Tensor) -> Tensor:
        """The representation z = g(mean of q), (B, D)."""
        return self.mapping(self.encode(x_BX).mean_BD)

    def generate(self, eps_BD: Tensor) -> Likelihood:
        """p(x|z) for samples of the prior, made of N(0, 1) noise (B, D).

        All axes take part; `Relevance.sample` says otherwise.
        """
        return self.decode(self.mapping(self.prior.sample(eps_BD)))


class Learner(nn.Module):
    """What DistributedDataParallel wraps: a method and its model, and the only way out of it is `forward`."""

    def __init__(self, method: Method, vae: VAE):
        super().__init__()
        self.method, self.vae = method, vae

    def forward(self, x_BX: Tensor, noise: Noise, kl_scale: float = 1.0) -> Terms:
        """The objective's terms on this worker's rows of a batch."""
        return self.method.terms(self.vae(x_BX, noise, kl_scale))

    @torch.no_grad()
    def statistics(self, x_BX: Tensor, noise: Noise) -> Sums:
        """What these rows of D_z contribute to the prior: encoder in evaluation mode, one sample each (Algorithm 2)."""
        self.eval()
        return self.vae.prior.statistics(self.vae.encode(x_BX).sample(noise))

    def absorb(self, sums: Sums) -> None:
        """Give the prior the statistics of the whole D_z, already reduced over workers."""
        self.vae.prior.absorb(sums)
