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


DATA_UNITS = "_data_units"
NAMES = tuple(f"mse{latents}{units}" for units in ("", DATA_UNITS) for latents in ("", "_pruned", "_pruned_code"))


def statistics(vae: VAE, x_BX: Tensor, noise: Noise, found: Relevance) -> Sums:
    """Summed squared errors of these rows: additive over batches and workers.

    `mse` decodes the representation as it is; `mse_pruned` replaces irrelevant axes by their mean over the data;
    `mse_pruned_code`, ARD-VAE's code, keeps them but samples the relevant axes. These three are of images in [0, 1]:
    divided by the squared range of the data, if that is bounded. With `_data_units` at their end they are not divided:
    for images in [-1, 1] they are 4 times as large, for images in [0, 1] the same.
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
        own = {name: _error(vae, x_BX, some_BL) for name, some_BL in latents.items()}
    errors = {name: error / (high - low) ** 2 for name, error in own.items()}
    errors |= {f"{name}{DATA_UNITS}": error for name, error in own.items()}
    return errors | {"values": torch.tensor(float(x_BX.numel()), device=x_BX.device)}


def finish(sums: Sums) -> dict[str, float]:
    """The mean squared errors per data value, from sums over all rows and workers."""
    return {name: float(value / sums["values"]) for name, value in sums.items() if name != "values"}


def _error(vae: VAE, x_BX: Tensor, z_BL: Tensor) -> Tensor:
    return (vae.decode(z_BL).mean_BX - x_BX).double().square().sum()
