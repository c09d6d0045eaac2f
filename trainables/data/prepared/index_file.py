"""Prepared sets: where they lie, and the index that says what is in one. Nothing here reads rows.

A prepared set is a folder ROOT/prepared/KEY of shards (see shards.py) and an index.json, which is written last: without
it the set is unfinished. All that decides its rows is in its key, so a set never changes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.common.errors import DataError, Unfit

if TYPE_CHECKING:
    from trainables.data.base import Dataset

FORMAT = 1  # of index and shards; to be raised whenever a loader comes to give other rows, too
PREPARED, INDEX = "prepared", "index.json"
NOTES = "notes"  # in the index of one's own files; earlier versions wrote none
LIMITS = {"train_rows", "val_rows"}  # settings that leave the rows as they are
DIGITS = 12  # of a key's digest
AGAIN = "prepare or fetch the set again"
CURE = f"delete it and {AGAIN}"

Index = dict[str, Any]


def settings(dataset: Dataset) -> dict[str, Any]:
    """What of a record decides the rows of the whole set."""
    return dataset.model_dump(mode="json", exclude=LIMITS)


def key(dataset: Dataset) -> str:
    """The name of the prepared set's folder: sets with equal keys have equal rows."""
    digest = hashlib.sha256(compact({"format": FORMAT, "data": settings(dataset)}).encode()).hexdigest()
    return f"{dataset.name}-{digest[:DIGITS]}"


def folder_of(dataset: Dataset, root: Path) -> Path:
    """Where the set lies below a data root once it is prepared."""
    return root / PREPARED / key(dataset)


def finished(root: Path) -> list[Path]:
    """The folders of all finished sets below a data root."""
    return sorted(index.parent for index in (root / PREPARED).glob(f"*/{INDEX}"))


def name_in(key: str) -> str:
    """Of which data set a set with this key is, whatever its settings."""
    return key.rpartition("-")[0]


def compact(value: Any) -> str:
    """JSON that is the same whenever the value is."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def written(index: Index) -> bytes:
    """The content of index.json: the index, and the SHA-256 of it."""
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
    """What an index.json of such content says. Raises Unfit."""
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
    """Each shard with its split and its first row there."""
    found = []
    for split, held in index["splits"].items():
        first = 0
        for shard in held["shards"] if held else ():
            found.append((split, first, shard))
            first += shard["rows"]
    return found


def common(index: Index) -> Index:
    """What each shard says of the whole set."""
    return {name: value for name, value in index.items() if name not in ("splits", "stamps", NOTES)}


def bytes_of(index: Index) -> int:
    """Of all shards."""
    return sum(shard["bytes"] for _, _, shard in shards_of(index))
