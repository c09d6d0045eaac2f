"""Files that are written whole or not at all, where they are, and numbers that every reader of JSON takes."""

import os
import re
import shutil
from math import isfinite
from pathlib import Path
from typing import Any


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step: a kill, or a loss of power, leaves the old one or the new one. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def remove_half_written(folder: Path) -> None:
    """Remove what a process that was killed has left beside the files that it was writing."""
    for path in folder.glob(".*"):
        if re.fullmatch(r"\..+\.\d+", path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def pictures_folder(trial: Path, epoch: int) -> Path:
    """Where the pictures drawn after an epoch are, in a trial's folder."""
    return trial / "pictures" / f"{epoch:04d}"


def restarts_file(trial: Path) -> Path:
    """What says in a trial's folder, a line for each, when its worker group was lost and started anew."""
    return trial / "restarts.txt"


def finite_or_null(values: dict[str, Any]) -> dict[str, Any]:
    """The same values with None for NaN and infinities, which JSON does not know."""
    return {key: value if not isinstance(value, float) or isfinite(value) else None for key, value in values.items()}
