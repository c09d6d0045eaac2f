"""The terms of an objective on one batch, their sums over rows, and the loss. Methods compute the terms."""

# Shapes: B rows.

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from trainables.sums import Sums, rank_and_world

Terms = dict[str, tuple[float | Tensor, Tensor]]
"""Name -> (weight, value). A value has one number per row, (B,), or is a scalar () for a term of the whole batch.
A weight that training changes is a scalar () of float64 on the device: to read it would make each step wait.

The loss of a batch is the sum over terms of weight * (mean over the rows of the whole batch, or the scalar).
"""


def sums_of(terms: Terms, rows: int) -> Sums:
    """The terms summed over this worker's `rows`; a term of the whole batch counts once per row."""
    return {name: value.sum() if value.ndim else value * rows for name, (_, value) in terms.items()}


@dataclass(frozen=True)
class Loss:
    """The sum over `parts`, pairs of a number, or scalar, and a tensor, of the number times the sum of the tensor."""

    parts: list[tuple[float | Tensor, Tensor]]

    def backward(self) -> None:
        """Compute the gradients. They need no value of the loss, so none is computed: a small step costs less."""
        parts = [(factor, value) for factor, value in self.parts if value.requires_grad]
        gradients = [_filled_like(value, factor) for factor, value in parts]
        torch.autograd.backward([value for _, value in parts], gradients)


def loss_of(terms: Terms, total: int) -> Loss:
    """This worker's loss on a batch of `total` rows over all workers.

    DistributedDataParallel averages gradients over workers. The mean of this loss over workers is the loss that one
    worker would compute, however unevenly the rows are shared.
    """
    scale = rank_and_world()[1] / total
    return Loss([(weight * scale if value.ndim else weight, value) for weight, value in terms.values()])


def _filled_like(value: Tensor, factor: float | Tensor) -> Tensor:
    if isinstance(factor, Tensor):
        return factor.to(value.dtype).expand(value.shape)
    return _filled(factor, value.shape, value.dtype, value.device)


@lru_cache(maxsize=64)
def _filled(number: float, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of one number. Autograd does not write to it, as the cache holds it, too."""
    return torch.full((), number, dtype=dtype, device=device).expand(shape)
