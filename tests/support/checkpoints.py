"""Compares checkpoints, whole tensors included."""

from pathlib import Path

import torch
from torch.utils._pytree import tree_flatten

from trainables.checkpoint import load


def assert_same_checkpoints(one: Path, other: Path) -> None:
    """That two checkpoints hold the same values, to the bit."""
    (mine, shape), (theirs, other_shape) = (tree_flatten(load(path)) for path in (one, other))
    assert shape == other_shape
    for a, b in zip(mine, theirs, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
