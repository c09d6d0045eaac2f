"""What is made once and kept in a folder for all processes: written whole or not at all, by one while others wait."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainables import checkpoint
from trainables.common.errors import CheckpointError
from trainables.common.files import locked
from trainables.data.base import Rows

State = dict[str, Any]
"""Tensors, numbers and text by name."""
Keep = Callable[[str, Callable[[], State]], State]
"""A name that says all that decides the state, and how the state is made -> the state."""
ROWS_AT_ONCE = 10_000


def once(folder: Path | None, name: str, make: Callable[[], State]) -> State:
    """What lies under this name in the folder, made and put there where there is nothing whole; None keeps nothing."""
    if folder is None:
        return make()
    path = Path(folder) / f"{name}.pt"
    with locked(path):
        try:
            state = checkpoint.load(path)
        except CheckpointError:
            state = make()
            checkpoint.save(path, state)
    return {key: value for key, value in state.items() if key != "format"}


def digest(rows: Rows, *words: int | str) -> str:
    """Of the content of rows and all that is known of them, and of some words: in hex, 16 digits."""
    sha256 = hashlib.sha256(repr((rows.range, rows.shape, str(rows.x.dtype), words)).encode())
    for part in (rows.x, rows.y, *(known.values for known in (rows.attributes, rows.factors) if known)):
        for index in () if part is None else torch.arange(len(part)).split(ROWS_AT_ONCE):
            sha256.update(part.index_select(0, index).contiguous().numpy())
    return sha256.hexdigest()[:16]
