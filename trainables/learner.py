"""Learner: what is trained, a method and its model. `assemble` makes the model of the method's parts."""

# Shapes: B rows, X data dimensions.

import torch
from torch import Tensor, nn

from trainables.distributions.likelihoods import LikelihoodSpec, Range
from trainables.methods.base import Method, Phase, Setting
from trainables.model import VAE, Encode, Parts
from trainables.networks.network import Network
from trainables.noise import Noise
from trainables.precision import Precision
from trainables.sums import Sums
from trainables.terms import Terms


def assemble(
    method: Method,
    network: Network,
    likelihood: LikelihoodSpec,
    examples_BX: Tensor,
    data_range: Range,
    precision: Precision = "fp32",
) -> VAE:
    """The model of a method around a network. First weights are drawn from the global generator.

    Args:
        examples_BX: training rows in the data's range, from which some priors take their starting values.
    """
    shape, latent_dim = tuple(examples_BX.shape[1:]), network.latent_dim
    code_dim, posterior = method.code_dim(latent_dim), method.posterior()
    parts = Parts(
        shape=shape,
        code_dim=code_dim,
        latent_dim=latent_dim,
        # the order of the modules decides which weights a seed gives
        encoder=network.encoder(shape, posterior.outputs(code_dim)),
        posterior=posterior,
        mapping=method.map(latent_dim),
        decoder=network.decoder(shape, latent_dim, likelihood.multiple),
        likelihood=likelihood,
        data_range=data_range,
        precision=precision,
        encoder_input=method.encoder_input,
        relevance_form=method.relevance_form(),
    )

    def setting(encode: Encode) -> Setting:
        return Setting(latent_dim, shape, examples_BX, data_range, encode)

    vae = VAE(parts, lambda encode: method.prior(setting(encode)), lambda encode: method.extras(setting(encode)))
    method.regularise(vae)
    return vae


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
