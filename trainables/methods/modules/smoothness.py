"""Regularisers of a deterministic decoder (RAE): small weights, small gradients, or spectral normalisation."""

# Shapes: B rows, L latent dimensions, X data dimensions.

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from trainables.model import Pass

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def decoder_weights(decoder: nn.Module, dense: bool) -> list[Tensor]:
    """Weights of the transposed convolutions; if there are none, or with `dense`, also of the linear layers."""
    transposed = [layer.weight for layer in decoder.modules() if isinstance(layer, nn.ConvTranspose2d)]
    linear = [layer.weight for layer in decoder.modules() if isinstance(layer, nn.Linear)]
    return transposed + (linear if dense or not transposed else [])


def gradient_penalty(seen: Pass) -> Tensor:
    """Mean over latent dimensions of (d/dz sum of x_hat^2)^2, shape (B,), differentiable in training.

    As in RAE's code, this is the derivative of the sum of squared decoded values, not of each value.
    """

    def energy(decoded_BX: Tensor) -> Tensor:
        return decoded_BX.square().sum()

    if seen.z_BL.requires_grad:
        (gradient_BL,) = torch.autograd.grad(energy(seen.decoded.mean_BX), seen.z_BL, create_graph=True)
    else:  # validation records no graph, so the decoder runs again
        gradient_BL = torch.func.grad(lambda z_BL: energy(seen.vae.decode(z_BL).mean_BX))(seen.z_BL)
    return gradient_BL.square().mean(1)


def normalise(model: nn.Module) -> None:
    """Reparameterise every linear layer and convolution: its weight is divided by its largest singular value.

    One power iteration per training step estimates the value. Its state is initialised from the global generator, saved
    in checkpoints, and otherwise depends on the weights alone, so it is the same on all workers.
    """
    for layer in [layer for layer in model.modules() if isinstance(layer, LAYERS)]:
        spectral_norm(layer)
