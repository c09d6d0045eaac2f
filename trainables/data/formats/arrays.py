"""Reads `x` and `y` from a .npy, .npz or .parquet file, unchanged, and notes what was left out."""

# Shapes: N rows of the file.

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from trainables.common.errors import Unfit, one_line
from trainables.common.lazy import np
from trainables.data.base.bounds import TooMuch, check_plain
from trainables.data.formats.blocks import read_member, read_plain
from trainables.data.formats.locate import DAMAGED
from trainables.data.formats.tables import quoted, read_table


def read(path: Path) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """`x` (N, ...), `y` (None where the file has none), and notes. Runs no code of the file. Raises Unfit."""
    reader = READERS.get(path.suffix.lower())
    if reader is None and path.is_dir():
        raise Unfit("is a folder: one of pictures is named by 'images'.")
    if reader is None:
        raise Unfit(f"unknown suffix '{path.suffix}': use one of {', '.join(READERS)}.")
    try:
        check_plain(path)
        return reader(path)
    except FileNotFoundError as error:
        raise Unfit("there is no such file: mend the path.") from error
    except TooMuch as error:
        raise Unfit(f"{error}.") from error
    except DAMAGED as error:
        raise Unfit(f"not a sound {path.suffix} file of plain numbers ({one_line(error)}): write it again.") from error


def _npy(path: Path) -> tuple[np.ndarray, None, list[str]]:
    with path.open("rb") as stream:
        x, rest = read_plain(stream, path.stat().st_size)
    return x, None, [f"{rest:,} bytes that follow the array were left out."] if rest else []


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    with zipfile.ZipFile(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
        if "x" not in keys:
            raise Unfit(f"no key 'x' among {', '.join(keys) or 'none'}: write it with numpy.savez(path, x=...).")
        x, *y = (read_member(archive, key) for key in ("x", "y") if key in keys)
    others = [key for key in keys if key not in ("x", "y")]
    notes = [f"keys beside x and y were left out: {quoted(others)}."] if others else []
    return x, y[0] if y else None, notes


READERS: dict[str, Callable[[Path], tuple]] = {".npy": _npy, ".npz": _npz, ".parquet": read_table}
