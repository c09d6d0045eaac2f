"""Verifies a prepared set: every checksum, of files and of columns, and the numbers of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainables.common.errors import DataError, Unfit
from trainables.common.progress import Progress, silent
from trainables.data.base import Dataset
from trainables.data.prepared import index_file, mapped, shards

SHA256 = "sha256"


def damages(dataset: Dataset, folder: Path, progress: Progress = silent) -> Iterator[str]:
    """One line for each damaged file of a prepared set; none if it is intact.

    `progress` gets the number of bytes done and the total. Raises DataError where there is no finished set.
    """
    if not (folder / index_file.INDEX).exists():
        raise DataError(f"{folder}: no finished set: prepare it first.")
    try:
        index = index_file.read_index(folder)
        mapped.check_index(index, dataset, folder)
    except DataError as error:
        yield str(error)
        return
    done, of = 0, index_file.bytes_of(index)
    for split, first, shard in index_file.shards_of(index):
        try:
            _check(folder, index, split, first, shard)
        except DataError as error:
            yield str(error)
        done += shard["bytes"]
        progress(done, of)


def _check(folder: Path, index: index_file.Index, split: str, first: int, shard: dict[str, Any]) -> None:
    """Raises DataError."""
    path = folder / shard["file"]
    mapped.shard_columns(folder, index, split, first, shard)
    stated, found = shards.checksums_of(path)
    with shards.read_errors_reported(path):
        for name in stated | found:
            if stated.get(name) != found.get(name):
                raise Unfit(f"column {name} has a wrong checksum")
        with path.open("rb") as file:
            if hashlib.file_digest(file, SHA256).hexdigest() != shard["sha256"]:
                raise Unfit("wrong checksum")
