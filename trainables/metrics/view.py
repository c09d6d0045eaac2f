"""ModelView: a model's outputs on the validation rows, from which all metrics of an epoch are computed."""

# Shapes: N rows of this worker, J of them among the first 100 of the data set, D latent axes.

from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.data import Rows
from trainables.learner import Learner
from trainables.model import VAE
from trainables.noise import Noise
from trainables.relevance import JACOBIAN_ROWS
from trainables.sums import share


@dataclass(frozen=True)
class ModelView:
    """A model's outputs on this worker's rows, one sample per row, in evaluation mode."""

    vae: VAE
    per_row: dict[str, Tensor]  # name -> (N,), float64: loss, its terms, and mse
    z_ND: Tensor  # sampled latents
    mean_ND: Tensor  # representations
    first_JD: Tensor  # sampled latents at which the decoder's Jacobian is computed
    first_JX: Tensor  # the rows that they are of


@torch.no_grad()
def look(learner: Learner, rows: Rows, batch_size: int, seed: int, device: torch.device) -> ModelView:
    """Pass this worker's share of every batch of `rows` through the model.

    The noise depends on the seed and the row alone, not on the epoch, so that epochs are compared on the same draws.
    """
    learner.eval()
    vae = learner.vae
    per_row: dict[str, list[Tensor]] = {}
    z, mean, first, first_x = [], [], [], []
    for start in range(0, len(rows), batch_size):
        index = torch.arange(start, min(start + batch_size, len(rows)))
        mine = share(len(index))
        x_BX = rows.batch(index[mine], device).to(torch.get_default_dtype())
        noise = Noise(seed, "look", start, rows=mine, total=len(index), device=device)
        seen = vae(x_BX, noise, phase=learner.method.phases[0].name)
        terms = learner.method.terms(seen)
        values = {name: value.double().expand(len(x_BX)) for name, (_, value) in terms.items()}
        values["loss"] = sum(weight * values[name] for name, (weight, _) in terms.items())
        values["mse"] = (x_BX - seen.decoded.mean_BX).double().square().flatten(1).mean(1)
        for name, value in values.items():
            per_row.setdefault(name, []).append(value)
        z.append(seen.z_BL)
        mean.append(vae.mapping(seen.q.mean_BD))
        at = index[mine].to(device) < JACOBIAN_ROWS
        first.append(seen.z_BL[at])
        first_x.append(x_BX[at])
    return ModelView(
        vae,
        {name: torch.cat(parts) for name, parts in per_row.items()},
        torch.cat(z),
        torch.cat(mean),
        torch.cat(first),
        torch.cat(first_x),
    )
