"""The file format of checkpoints: named states in one file, written whole or not at all. `train.py` decides which."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from trainables.common.errors import CheckpointError
from trainables.common.files import whole

FORMAT = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, text, and lists and dicts of them) beside `path`, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as file:
        torch.save({"format": FORMAT} | state, file)


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote. Loads values only: nothing in the file can run code.

    Raises CheckpointError when the file is missing, truncated, not a checkpoint or of another format, and when its
    content has changed since it was written: the checksum of every part is verified.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint.")
    try:
        if not zipfile.is_zipfile(path):  # a truncated archive lacks its index, which is at the end
            raise CheckpointError(f"{path}: not a whole checkpoint. It may be truncated.")
        verify(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # of any kind: a damaged file can make torch.load raise anything
        raise CheckpointError(f"{path}: not a readable checkpoint ({_first_line(error)}).") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this version (format {FORMAT}).")
    return state


def epoch_of(path: Path) -> int:
    """The number of epochs that a run had finished when it was saved. Raises CheckpointError."""
    epoch = load(path).get("epoch")
    if not isinstance(epoch, int):
        raise CheckpointError(f"{path}: not the checkpoint of a run.")
    return epoch


def verify(path: Path) -> None:
    """Read every part of the archive and compare it with its checksum, which `torch.load` does not.

    `torch.load` does not read entries marked as folders, so an entry with attributes counts as damaged. Raises
    zipfile's errors.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip() or next((part.filename for part in archive.infolist() if part.external_attr), None)
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} is damaged")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:120] or type(error).__name__
