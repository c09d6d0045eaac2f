"""Which rows an epoch trains on, in which order, and which it holds out to estimate ARD-VAE's prior (D_z).

It is a function of (seed, epoch): every worker draws the same plan, and a resumed run draws the plan of the original.
"""

# Shapes: B rows of a batch.

from collections.abc import Iterator

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

HELD_STREAM, ORDER_STREAM = 1, 2


def plan(
    rows: int, held_out: int, refresh_epochs: int, seed: int, epoch: int, passes: int = 1
) -> tuple[Tensor, Tensor]:
    """The training rows of an epoch in its order, and the rows of D_z: two disjoint int64 indices that cover all rows.

    D_z (X_alpha of ARD-VAE, algorithm 1) is `held_out` rows without replacement, drawn afresh every `refresh_epochs`
    epochs; the order of the rest changes every epoch. It has each of them once in each of its `passes`, every time in
    another order. `epoch` counts from 0. Raises ValueError if held_out > rows.
    """
    held = _stream(seed, HELD_STREAM, epoch - epoch % refresh_epochs).choice(rows, held_out, replace=False)
    rest = np.ones(rows, dtype=bool)
    rest[held] = False
    left, stream = np.flatnonzero(rest), _stream(seed, ORDER_STREAM, epoch)
    order = np.concatenate([stream.permutation(left) for _ in range(passes)])
    return torch.from_numpy(order), torch.from_numpy(held)


def batches(index: Tensor, batch_size: int) -> Iterator[Tensor]:
    """`index` split into batches (B,) of `batch_size`; the last may be shorter. An empty index gives none."""
    return (index[start : start + batch_size] for start in range(0, len(index), batch_size))


def _stream(*words: int) -> Generator:
    return default_rng(words)  # PCG64 seeded by SeedSequence(words)
