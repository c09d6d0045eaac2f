"""The location of prepared sets, and the index of their content. Nothing here reads rows.

A prepared set is a folder ROOT/prepared/KEY of shards (see shards.py) and an index.json, which is written last: without
it the set is unfinished. The key depends on everything that decides the rows, so a set never changes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.common.errors import DataError, Unfit

if TYPE_CHECKING:
    from trainables.data.base import Dataset

FORMAT = 1  # of index and shards: raise it also when a loader changes the rows that it reads
PREPARED, INDEX = "prepared", "index.json"
NOTES = "notes"  # in the index of the user's own files; earlier versions wrote none
LIMITS = {"train_rows", "val_rows"}  # settings that do not change the prepared rows
DIGITS = 12  # of a key's digest
AGAIN = "prepare or fetch the set again"
CURE = f"delete it and {AGAIN}"

Index = dict[str, Any]


def settings(dataset: Dataset) -> dict[str, Any]:
    """The settings of a record that decide the rows of the whole set."""
    return dataset.model_dump(mode="json", exclude=LIMITS)


def key(dataset: Dataset) -> str:
    """The name of the prepared set's folder: sets with equal keys have equal rows."""
    digest = hashlib.sha256(compact({"format": FORMAT, "data": settings(dataset)}).encode()).hexdigest()
    return f"{dataset.name}-{digest[:DIGITS]}"


def folder_of(dataset: Dataset, root: Path) -> Path:
    """The folder of the prepared set below a data root."""
    return root / PREPARED / key(dataset)


def finished(root: Path) -> list[Path]:
    """The folders of all finished sets below a data root."""
    return sorted(index.parent for index in (root / PREPARED).glob(f"*/{INDEX}"))


def name_in(key: str) -> str:
    """The name of the data set in a key."""
    return key.rpartition("-")[0]


def compact(value: Any) -> str:
    """Canonical JSON: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def written(index: Index) -> bytes:
    """The content of index.json: the index with its own SHA-256."""
    return (json.dumps(index | {"sha256": _digest(index)}, indent=1) + "\n").encode()


def read_index(folder: Path) -> Index:
    """The index of the set in a folder. Raises DataError that names the file."""
    path = folder / INDEX
    try:
        return index_of(path.read_bytes())
    except Unfit as error:
        raise DataError(f"{path}: {error}: {CURE}.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): {AGAIN}.") from error


def index_of(content: bytes) -> Index:
    """The index in the content of an index.json. Raises Unfit."""
    try:
        index = json.loads(content)
    except ValueError as error:
        raise Unfit("damaged or something else") from error
    if not isinstance(index, dict) or "format" not in index:
        raise Unfit("damaged or something else")
    if index["format"] != FORMAT:
        raise Unfit(f"format {index['format']}, {FORMAT} expected")
    bare = {name: value for name, value in index.items() if name != "sha256"}
    if written(bare) != content:
        raise Unfit("wrong checksum")
    return bare


def _digest(index: Index) -> str:
    return hashlib.sha256(compact(index).encode()).hexdigest()


def shards_of(index: Index) -> list[tuple[str, int, dict[str, Any]]]:
    """Each shard's split, the number of its first row in the split, and its entry in the index."""
    found = []
    for split, held in index["splits"].items():
        first = 0
        for shard in held["shards"] if held else ():
            found.append((split, first, shard))
            first += shard["rows"]
    return found


def common(index: Index) -> Index:
    """The part of the index that is repeated in each shard's metadata."""
    return {name: value for name, value in index.items() if name not in ("splits", "stamps", NOTES)}


def bytes_of(index: Index) -> int:
    """The total size of all shards."""
    return sum(shard["bytes"] for _, _, shard in shards_of(index))
