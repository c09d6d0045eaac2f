"""VAE: encoder -> posterior -> mapping -> decoder, with a prior. Learner: what is trained."""

# Shapes: B rows, X data dimensions, D dimensions of the code y, L latent dimensions of z.

import torch
from torch import Tensor, nn

from trainables.distributions.likelihoods import Likelihood, LikelihoodSpec, Range
from trainables.distributions.posteriors import Posterior
from trainables.methods import Method, Phase, Setting
from trainables.networks import Network
from trainables.noise import Noise
from trainables.precision import Precision, autocast
from trainables.sums import Sums
from trainables.terms import Pass, Terms


class VAE(nn.Module):
    """A method's parts around a network. Every tensor but the raw data passes through here.

    Args:
        examples_BX: training rows in the data's range, from which some priors take their starting values.
    """

    def __init__(
        self,
        method: Method,
        network: Network,
        likelihood: LikelihoodSpec,
        examples_BX: Tensor,
        data_range: Range,
        precision: Precision = "fp32",
    ):
        super().__init__()
        self.precision, self.likelihood, self.data_range = precision, likelihood, data_range
        self.shape, self.latent_dim = tuple(examples_BX.shape[1:]), network.latent_dim
        self.code_dim, self.posterior = method.code_dim(self.latent_dim), method.posterior()
        self.encoder_input, self.relevance_form = method.encoder_input, method.relevance_form()
        setting = Setting(self.latent_dim, self.shape, examples_BX, data_range, self.encode_as_in_evaluation)
        self.encoder = network.encoder(self.shape, self.posterior.outputs(self.code_dim))
        self.mapping = method.map(self.latent_dim)
        self.decoder = network.decoder(self.shape, self.latent_dim, likelihood.multiple)
        self.prior = method.prior(setting)
        self.extras = method.extras(setting)
        method.regularise(self)

    def encode(self, x_BX: Tensor) -> Posterior:
        """q(y|x)."""
        with autocast(self.precision, x_BX.device):
            features_BE = self.encoder(x_BX)
        return self.posterior.of(features_BE.to(x_BX.dtype))

    def encode_as_in_evaluation(self, x_BX: Tensor) -> Posterior:
        """q(y|x) with gradient, batch norm using its running statistics and leaving them as they are."""
        training = self.encoder.training
        self.encoder.eval()
        q = self.encode(x_BX)
        self.encoder.train(training)
        return q

    def decode(self, z_BL: Tensor) -> Likelihood:
        """p(x|z)."""
        with autocast(self.precision, z_BL.device):
            raw = self.decoder(z_BL)
        return self.likelihood.of(raw.to(z_BL.dtype), self.data_range)

    def forward(self, x_BX: Tensor, noise: Noise, kl_scale: float = 1.0, phase: str = "all") -> Pass:
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


class Learner(nn.Module):
    """What DistributedDataParallel wraps: a method and its model, and the only way out of it is `forward`."""

    def __init__(self, method: Method, vae: VAE):
        super().__init__()
        self.method, self.vae = method, vae

    def forward(self, x_BX: Tensor, noise: Noise, kl_scale: float = 1.0, phase: str = "all") -> Terms:
        """The objective's terms on this worker's rows of a batch."""
        return self.method.terms(self.vae(x_BX, noise, kl_scale, phase))

    def parameters_of(self, phase: Phase) -> list[nn.Parameter]:
        """Those that a phase moves, in the model's order."""
        return [value for name, value in self.vae.named_parameters() if name.startswith(phase.parts)]

    @torch.no_grad()
    def after_step(self, phase: Phase, sums: Sums, rows: int) -> None:
        """What the method does once a gradient step is taken; see `Method.after_step`."""
        self.method.after_step(self.vae, phase, sums, rows)

    @torch.no_grad()
    def statistics(self, x_BX: Tensor, noise: Noise) -> Sums:
        """What these rows of D_z contribute to the prior: encoder in evaluation mode, one sample each (Algorithm 2)."""
        self.eval()
        return self.vae.prior.statistics(self.vae.encode(x_BX).draw(noise).y_BD)

    def absorb(self, sums: Sums) -> None:
        """Give the prior the statistics of the whole D_z, already reduced over workers."""
        self.vae.prior.absorb(sums)
