"""Learner: a method and its model, trained together. `assemble` builds the model from the method's parts."""

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
    """Build a method's model around a network. Initial weights are drawn from the global generator.

    Args:
        examples_BX: training rows in the data's range, from which some priors take their initial values.
    """
    shape, latent_dim = tuple(examples_BX.shape[1:]), network.latent_dim
    code_dim, posterior = method.code_dim(latent_dim), method.posterior()
    parts = Parts(
        shape=shape,
        code_dim=code_dim,
        latent_dim=latent_dim,
        # the order in which modules are made decides their initial weights for a given seed
        encoder=network.encoder(shape, posterior.outputs(code_dim)),
        posterior=posterior,
        mapping=method.map(latent_dim),
        decoder=network.decoder(shape, latent_dim, likelihood.multiple),
        likelihood=likelihood,
        data_range=data_range,
        precision=precision,
        encoder_input=method.encoder_input,
        relevance_form=method.relevance_form(),
        relevance_at=method.relevance_at(),
    )

    def setting(encode: Encode) -> Setting:
        return Setting(latent_dim, shape, examples_BX, data_range, encode)

    vae = VAE(parts, lambda encode: method.prior(setting(encode)), lambda encode: method.extras(setting(encode)))
    method.regularise(vae)
    return vae


class Learner(nn.Module):
    """A method and its model: the module that DistributedDataParallel wraps. Gradients flow through `forward` only."""

    def __init__(self, method: Method, vae: VAE):
        super().__init__()
        self.method, self.vae = method, vae

    def forward(self, x_BX: Tensor, noise: Noise, kl_scale: float = 1.0, phase: str = "all") -> Terms:
        """The objective's terms on this worker's rows of a batch."""
        return self.method.terms(self.vae(x_BX, noise, kl_scale, phase))

    def parameters_of(self, phase: Phase) -> list[nn.Parameter]:
        """The parameters that a phase updates, in the model's order."""
        return [value for name, value in self.vae.named_parameters() if name.startswith(phase.parts)]

    def after_step(self, phase: Phase, sums: Sums, rows: int) -> None:
        """Run the method's own update, if it has one, after a gradient step; see `Method.after_step`."""
        if type(self.method).after_step is not Method.after_step:
            with torch.no_grad():
                self.method.after_step(self.vae, phase, sums, rows)

    @torch.no_grad()
    def statistics(self, x_BX: Tensor, noise: Noise) -> Sums:
        """The prior's statistics of these rows of D_z: encoder in evaluation mode, a code per row (Algorithm 2)."""
        self.eval()
        return self.vae.prior.statistics(self.method.held_out_codes(self.vae.encode(x_BX), noise))

    def absorb(self, sums: Sums) -> None:
        """Update the prior from the statistics of the whole D_z, already reduced over workers."""
        self.vae.prior.absorb(sums)
