"""JSON files that are written whole or not at all, with null for the numbers that JSON cannot hold."""

import json
from math import isfinite
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from trainables.common.files import append, whole


def write_whole(path: Path, text: str) -> None:
    """Replace a file of text in one step: a kill, or a loss of power, leaves the old or the new one. Raises OSError."""
    with whole(path) as file:
        file.write(text.encode())


def read_object(file: Path, cure: str) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError, with `cure` in it, if it cannot be read or holds something else."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read ({error}). {cure}") from None
    if not isinstance(found, dict):
        raise UserError(f"{file}: is damaged: it holds no object. {cure}")
    return found


def holds(found: Any, parts: dict[str, type]) -> bool:
    """Whether `found` is an object with values of these types under these keys."""
    return isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in parts.items())


def append_whole(path: Path, line: str) -> None:
    """Append a line to a file and force it to the disk: the whole of it, or nothing. Raises OSError."""
    append(path, f"{line}\n".encode())


def finite_or_null(values: dict[str, Any]) -> dict[str, Any]:
    """The same values with None for NaN and infinities, which JSON does not know."""
    return {key: value if not isinstance(value, float) or isfinite(value) else None for key, value in values.items()}
