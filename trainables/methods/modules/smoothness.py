"""What keeps a deterministic decoder smooth (RAE): small weights, small gradients, or spectral normalisation."""

# Shapes: B rows, L latent dimensions, X data dimensions.

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from trainables.model import Pass

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def decoder_weights(decoder: nn.Module, dense: bool) -> list[Tensor]:
    """The kernels of its transposed convolutions; where it has none, or `dense` asks for them, of its linear layers."""
    transposed = [layer.weight for layer in decoder.modules() if isinstance(layer, nn.ConvTranspose2d)]
    linear = [layer.weight for layer in decoder.modules() if isinstance(layer, nn.Linear)]
    return transposed + (linear if dense or not transposed else [])


def gradient_penalty(seen: Pass) -> Tensor:
    """Mean over latent dimensions of (d/dz sum of x_hat^2)^2, shape (B,), itself with gradient while training.

    As in RAE's code the derivative is that of all decoded values squared and summed, not of each.
    """

    def energy(decoded_BX: Tensor) -> Tensor:
        return decoded_BX.square().sum()

    if seen.z_BL.requires_grad:
        (gradient_BL,) = torch.autograd.grad(energy(seen.decoded.mean_BX), seen.z_BL, create_graph=True)
    else:  # in validation nothing is recorded, and the decoder has to be passed again
        gradient_BL = torch.func.grad(lambda z_BL: energy(seen.vae.decode(z_BL).mean_BX))(seen.z_BL)
    return gradient_BL.square().mean(1)


def normalise(model: nn.Module) -> None:
    """Divide the weight of every linear layer and convolution by its largest singular value, from now on.

    The value is estimated by one power iteration per training step from a state that starts from the global generator
    and is saved: it is a function of the weights alone, hence the same on all workers.
    """
    for layer in [layer for layer in model.modules() if isinstance(layer, LAYERS)]:
        spectral_norm(layer)
