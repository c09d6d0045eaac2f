"""A cache in a folder that processes share: one process computes and writes an entry, atomically, while others wait."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables import checkpoint
from trainables.common.errors import CheckpointError
from trainables.common.files import locked

State = dict[str, Any]
"""Tensors, numbers and text by name."""
Keep = Callable[[str, Callable[[], State]], State]
"""(name, function that computes the state) -> the state. The name must contain everything that the state depends on."""


def once(folder: Path | None, name: str, make: Callable[[], State]) -> State:
    """Return the cached state of this name; compute and save it if it is missing or damaged. None: no cache."""
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
