"""Checkpoints: the named things that have state, in one file, written whole or not at all."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from trainables.durable import whole

FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint that cannot be read or belongs to another run. One line."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, text, and lists and dicts of them) beside `path`, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        torch.save({"format": FORMAT} | state, file)


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote. Loads values only: nothing in the file can run code.

    Raises CheckpointError when the file is missing, truncated, foreign, or of another format.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint.")
    if not zipfile.is_zipfile(path):  # the index of the archive is at its end
        raise CheckpointError(f"{path}: not a whole checkpoint. It may be truncated.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({_first_line(error)}).") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this version (format {FORMAT}).")
    return state


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:120]
