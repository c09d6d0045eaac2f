"""What is made once and kept in a folder for all processes: written whole or not at all, by one while others wait."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables import checkpoint
from trainables.common.errors import CheckpointError
from trainables.common.files import locked

State = dict[str, Any]
"""Tensors, numbers and text by name."""
Keep = Callable[[str, Callable[[], State]], State]
"""A name that says all that decides the state, and how the state is made -> the state."""


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
