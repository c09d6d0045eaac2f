"""The terms of an objective on one batch, their sums over rows, and the loss. Methods compute the terms."""

# Shapes: B rows.

from torch import Tensor

from trainables.sums import Sums, rank_and_world

Terms = dict[str, tuple[float, Tensor]]
"""Name -> (weight, value). A value has one number per row, (B,), or is a scalar () for a term of the whole batch.

The loss of a batch is the sum over terms of weight * (mean over the rows of the whole batch, or the scalar).
"""


def sums_of(terms: Terms, rows: int) -> Sums:
    """The terms summed over this worker's `rows`; a term of the whole batch counts once per row."""
    return {name: value.sum() if value.ndim else value * rows for name, (_, value) in terms.items()}


def loss_of(terms: Terms, sums: Sums, total: int) -> Tensor:
    """This worker's loss on a batch of `total` rows over all workers; `sums` are those of its terms.

    DistributedDataParallel averages gradients over workers. The mean of this loss over workers is the loss that one
    worker would compute, however unevenly the rows are shared.
    """
    scale = rank_and_world()[1] / total
    return sum(weight * scale * sums[name] if value.ndim else weight * value for name, (weight, value) in terms.items())
