"""Reads `x` and `y` out of a .npy, .npz or .parquet file, as they stand there."""

# Shapes: N rows of the file, D numbers of a vector.

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from trainables.data.base import Unfit, one_line
from trainables.data.places import DAMAGED
from trainables.late import np


def read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """`x` (N, ...) and `y`, None where the file has none. Nothing in it is executed. Raises Unfit."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Unfit(f"unknown suffix '{path.suffix}': use one of {', '.join(READERS)}.")
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise Unfit("there is no such file: mend the path.") from error
    except DAMAGED as error:
        raise Unfit(f"not a sound {path.suffix} file of plain numbers ({one_line(error)}): write it again.") from error


def _npy(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with path.open("rb") as stream:
        return _plain(stream), None


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with zipfile.ZipFile(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
        if "x" not in keys:
            raise Unfit(f"no key 'x' among {', '.join(keys) or 'none'}: write it with numpy.savez(path, x=...).")
        arrays = {}
        for key in {"x", "y"}.intersection(keys):
            with archive.open(f"{key}.npy") as stream:
                arrays[key] = _plain(stream)
    return arrays["x"], arrays.get("y")


def _plain(stream) -> np.ndarray:
    return np.lib.format.read_array(stream, allow_pickle=False)  # never objects: a pickle can run code


def _parquet(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    import pyarrow.parquet  # slow to import, and needed here alone

    table = pyarrow.parquet.ParquetFile(path).read()
    y = table["y"].to_numpy() if "y" in table.column_names else None
    if "x" in table.column_names and _is_list(table["x"].type):
        return _vectors(table["x"]), y
    return _columns(table), y


def _is_list(kind) -> bool:
    from pyarrow import types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _vectors(column) -> np.ndarray:
    """A list column as (N, D)."""
    import pyarrow.compute

    lists = column.combine_chunks()
    if lists.null_count:
        raise Unfit(f"row {lists.is_null().index(True)} of column 'x' is empty: drop or fill it.")
    lengths = pyarrow.compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    if len(set(lengths)) > 1:
        raise Unfit(f"the lists of column 'x' have {lengths.min()} to {lengths.max()} numbers: make them equally long.")
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), lengths.max(initial=0))


def _columns(table) -> np.ndarray:
    """All columns but `y` side by side as (N, D)."""
    from pyarrow import types

    used = [field for field in table.schema if field.name != "y"]
    for field in used:
        if not (types.is_integer(field.type) or types.is_floating(field.type)):
            raise Unfit(f"column '{field.name}' is {field.type}, not numbers: drop it, or write lists in 'x'.")
    if not used:
        raise Unfit("no column 'x', nor any other than 'y': write vectors as lists in 'x', or as columns.")
    return np.column_stack([table[field.name].to_numpy() for field in used])


READERS: dict[str, Callable[[Path], tuple]] = {".npy": _npy, ".npz": _npz, ".parquet": _parquet}
