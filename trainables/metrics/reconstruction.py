"""Squared error per data value of reconstructions, from all axes and from the relevant axes alone."""

# Shapes: B rows of this worker's share of a batch, X data dimensions, L latent axes.

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.common.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.model import VAE
    from trainables.noise import Noise
    from trainables.relevance import Relevance
    from trainables.sums import Sums


def statistics(vae: VAE, x_BX: Tensor, noise: Noise, found: Relevance) -> Sums:
    """Summed squared errors of these rows, in units of the data's range (in the data's own where unbounded).

    Additive over batches and workers. `mse` decodes the representation as it is; `mse_pruned` replaces irrelevant axes
    by their mean over the data; `mse_pruned_code`, ARD-VAE's code, keeps them but samples the relevant axes.
    """
    vae.eval()
    low, high = vae.data_range or (0.0, 1.0)
    with torch.no_grad():
        q, relevant_L = vae.encode(x_BX), found.active()
        mean_BL, z_BL = vae.mapping(q.mean_BD), vae.mapping(q.draw(noise).y_BD)
        latents = {
            "mse": mean_BL,
            "mse_pruned": found.hold(mean_BL),
            "mse_pruned_code": torch.where(relevant_L, z_BL, mean_BL),
        }
        errors = {name: _error(vae, x_BX, some_BL) / (high - low) ** 2 for name, some_BL in latents.items()}
    return errors | {"values": torch.tensor(float(x_BX.numel()), device=x_BX.device)}


def finish(sums: Sums) -> dict[str, float]:
    """The mean squared errors per data value, from sums over all rows and workers."""
    return {name: float(value / sums["values"]) for name, value in sums.items() if name != "values"}


def _error(vae: VAE, x_BX: Tensor, z_BL: Tensor) -> Tensor:
    return (vae.decode(z_BL).mean_BX - x_BX).double().square().sum()
