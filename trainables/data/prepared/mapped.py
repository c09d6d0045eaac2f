"""Opens a prepared set: its rows stay in memory-mapped files, which all processes of a machine share.

Only the rows of a batch are copied, so a set may be larger than memory.
"""

# Shapes: N rows of a split, B rows of a batch, X data dimensions.

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.common.errors import DataError
from trainables.data.base import SPLITS, Attributes, Dataset, Factors, Rows, Splits
from trainables.data.prepared import index_file, shards, sources

EARLIER = (
    "is of an earlier version, which took pandas' index for a feature and pictures without regard to their EXIF: if "
    "there may be such, delete it and prepare the set again."
)
FEW = 20  # with fewer rows of a batch per file it is faster to copy them one by one


@dataclass(frozen=True)
class Mapped:
    """The operations of a tensor (N, *X) that Rows need, over the concatenation of several files.

    `order` (N,) int64 holds indices of rows in the concatenated `parts`; `firsts` has the index of each part's first.
    """

    parts: tuple[np.ndarray, ...]
    firsts: np.ndarray
    order: Tensor

    @staticmethod
    def over(parts: list[np.ndarray]) -> Mapped:
        """All rows of the parts, in order."""
        ends = np.cumsum([len(part) for part in parts])
        return Mapped(tuple(parts), ends - [len(part) for part in parts], torch.arange(int(ends[-1])))

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.order), *self.parts[0].shape[1:]

    @property
    def dtype(self) -> torch.dtype:
        return torch.from_numpy(np.empty(0, self.parts[0].dtype)).dtype

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: Tensor | slice) -> Mapped:
        """Some of the rows, in the order of `index`; reads nothing."""
        return replace(self, order=self.order[index])

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """A copy of the rows `index` (B,): (B, *X). `dim` must be 0."""
        order_B = self.order[index].numpy()
        if len(self.parts) == 1:
            return torch.from_numpy(self.parts[0].take(order_B, axis=dim))
        out_BX = np.empty((len(order_B), *self.shape[1:]), self.parts[0].dtype)
        part_B = np.searchsorted(self.firsts, order_B, side="right") - 1
        row_B = order_B - self.firsts[part_B]
        if len(order_B) < FEW * len(self.parts):
            for place, (part, row) in enumerate(zip(part_B.tolist(), row_B.tolist(), strict=True)):
                out_BX[place] = self.parts[part][row]
        else:
            for part, x_NX in enumerate(self.parts):
                places = np.flatnonzero(part_B == part)
                out_BX[places] = x_NX[row_B[places]]
        return torch.from_numpy(out_BX)


def open_set(dataset: Dataset, folder: Path) -> Splits:
    """Open a whole prepared set. Raises DataError where a file is missing, truncated or of another set.

    Reads no pixels: `verify` checks checksums.
    """
    index = index_file.read_index(folder)
    check_index(index, dataset, folder)
    sources.check_unchanged(index, folder)
    parts = [index["splits"][split] and _split(folder, index, split) for split in SPLITS]
    return Splits(*parts, notes=_notes(index, folder))


def _notes(index: index_file.Index, folder: Path) -> tuple[str, ...]:
    """The notes on the files from when the set was prepared."""
    if index_file.NOTES not in index and index["stamps"]:
        return (f"{folder} {EARLIER}",)
    return tuple(index.get(index_file.NOTES, ()))


def check_index(index: index_file.Index, dataset: Dataset, folder: Path) -> None:
    """Raises DataError where the index is of another set, or its numbers of rows are inconsistent."""
    path = folder / index_file.INDEX
    if index["data"] != index_file.settings(dataset):
        raise DataError(f"{path}: is of other settings: {index_file.CURE}.")
    for split, held in index["splits"].items():
        if held and held["rows"] != sum(shard["rows"] for shard in held["shards"]):
            raise DataError(f"{path}: split {split} has not the {held['rows']:,} rows that it says: {index_file.CURE}.")


def _split(folder: Path, index: index_file.Index, split: str) -> Rows:
    columns = index["splits"][split]["columns"]
    parts = [
        shard_columns(folder, index, split, first, shard)
        for where, first, shard in index_file.shards_of(index)
        if where == split
    ]
    rest = {name: torch.from_numpy(np.concatenate([part[name] for part in parts])) for name in columns if name != "x"}
    values = index["range"] and tuple(index["range"])
    classes = tuple(columns.get("y", {}).get("names", ()))
    x = Mapped.over([part["x"] for part in parts])
    return Rows(x, rest.get("y"), values, classes=classes, **_described(columns, rest))


def shard_columns(folder: Path, index: index_file.Index, split: str, first: int, shard: dict) -> dict[str, np.ndarray]:
    """The memory-mapped columns of one shard. Raises DataError."""
    path = folder / shard["file"]
    with shards.read_errors_reported(path):
        size = path.stat().st_size
    if size != shard["bytes"]:
        raise DataError(f"{path}: {size:,} bytes, {shard['bytes']:,} expected: {index_file.CURE}.")
    head = shards.head_of(index_file.common(index), split, first)
    return shards.mapped(path, shard["rows"], head, index["splits"][split]["columns"])


def _described(columns: dict[str, Any], values: dict[str, Tensor]) -> dict[str, Attributes]:
    described: dict[str, Attributes] = {}
    if "factors" in columns:
        names, sizes = tuple(columns["factors"]["names"]), tuple(columns["factors"]["sizes"])
        described["factors"] = Factors(values["factors"], names, sizes)
    if "attributes" in columns:
        described["attributes"] = Attributes(values["attributes"].bool(), tuple(columns["attributes"]["names"]))
    return described
