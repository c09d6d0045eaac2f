"""ModelView: a model's outputs on the validation rows, from which all metrics of an epoch are computed."""

# Shapes: N rows of this worker, B of them in a batch, J among the first 100 of the data set, D latent axes.

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.data import Rows
from trainables.learner import Learner
from trainables.model import VAE
from trainables.noise import Noise
from trainables.relevance import JACOBIAN_ROWS, jacobian_points
from trainables.sums import share


@dataclass(frozen=True)
class ModelView:
    """A model's outputs on this worker's rows, one sample per row, in evaluation mode."""

    vae: VAE
    per_row: dict[str, Tensor]  # name -> (N,), float64: loss, its terms, and mse
    z_ND: Tensor  # sampled latents
    mean_ND: Tensor  # representations
    first_JD: Tensor  # latents at which the decoder's Jacobian is computed
    first_JX: Tensor  # the rows that they are of


class Batch(NamedTuple):
    """Rows of a batch of validation."""

    x_BX: Tensor
    noise: Noise
    first: int  # how many of them, from the first on, are among the first 100 of the data set


class Outputs(NamedTuple):
    """A model's outputs on a batch, or those of K models with K before each shape."""

    per_row: dict[str, Tensor]  # (B,)
    z_BD: Tensor
    mean_BD: Tensor


class Seen(NamedTuple):
    """What is kept of a batch."""

    outputs: Outputs
    first_BX: Tensor  # rows among the first 100 of the data set


@torch.no_grad()
def look(learner: Learner, batches: Iterable[Batch]) -> ModelView:
    """Pass batches of rows through a model."""
    learner.eval()
    return view_of(learner.vae, [kept(outputs_of(learner, batch.x_BX, batch.noise), batch) for batch in batches])


def batches_of(
    rows: Rows, batch_size: int, seed: int, device: torch.device, last: int | None = None
) -> Iterator[Batch]:
    """This worker's share of every batch of `rows`, or of the `last` ones.

    The noise depends on the seed and the row alone, not on the epoch, so that epochs are compared on the same draws.
    """
    starts = range(0, len(rows), batch_size)
    for start in starts if last is None else starts[-last:]:
        index = range(start, min(start + batch_size, len(rows)))
        mine = share(len(index))
        own = index[mine]
        x_BX = rows.batch(torch.arange(own.start, own.stop), device).to(torch.get_default_dtype())
        noise = Noise(seed, "look", start, rows=mine, total=len(index), device=device)
        yield Batch(x_BX, noise, len(range(own.start, min(own.stop, JACOBIAN_ROWS))))


def outputs_of(learner: Learner, x_BX: Tensor, noise: Noise) -> Outputs:
    """The outputs of a model in evaluation mode."""
    seen = learner.vae(x_BX, noise, phase=learner.method.phases[0].name)
    terms = learner.method.terms(seen)
    per_row = {name: value.double().expand(len(x_BX)) for name, (_, value) in terms.items()}
    per_row["loss"] = sum(weight * per_row[name] for name, (weight, _) in terms.items())
    per_row["mse"] = (x_BX - seen.decoded.mean_BX).double().square().flatten(1).mean(1)
    return Outputs(per_row, seen.z_BL, learner.vae.mapping(seen.q.mean_BD))


def kept(outputs: Outputs, batch: Batch) -> Seen:
    """What is kept of a batch: no data but the rows at which the Jacobian is computed."""
    return Seen(outputs, batch.x_BX[: batch.first].clone())


def view_of(vae: VAE, seen: Sequence[Seen]) -> ModelView:
    """The view of a model from what was kept of all batches."""
    outputs = [batch.outputs for batch in seen]
    return ModelView(
        vae,
        {name: torch.cat([some.per_row[name] for some in outputs]) for name in outputs[0].per_row},
        torch.cat([some.z_BD for some in outputs]),
        torch.cat([some.mean_BD for some in outputs]),
        torch.cat([jacobian_points(vae, some.z_BD, some.mean_BD)[: len(first_BX)] for some, first_BX in seen]),
        torch.cat([batch.first_BX for batch in seen]),
    )
