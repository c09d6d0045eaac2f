"""What every data set is: a record that states its facts without reading, and loads its splits."""

# Shapes: N rows of a set, B rows of a batch, X data dimensions (C, H, W or one).

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from trainables.records import Record

Range = tuple[float, float]
UNIT: Range = (0.0, 1.0)


class DataError(Exception):
    """A data set that cannot be had as asked: one line that says which file, what is wrong with it, and the cure.

    `field` is the field of the record that is to blame ("" where it is none of them).
    """

    def __init__(self, text: str, field: str = ""):
        super().__init__(text)
        self.field = field


def one_line(error: Exception) -> str:
    """What a library's exception says, without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True)
class Facts:
    """What a network has to know of its data. `range` is that of a batch's values; None where they are unbounded."""

    shape: tuple[int, ...]
    range: Range | None
    train_rows: int
    val_rows: int


@dataclass(frozen=True)
class Rows:
    """The rows of one split: `x` (N, *X) uint8 or float32, `y` (N,) int64 or None where there are no labels."""

    x: Tensor
    y: Tensor | None
    range: Range | None

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor) -> Tensor:
        """The rows `index` (B,) as float32 (B, *X) in the set's range. Bytes 0..255 span the range from end to end."""
        x_BX = self.x.index_select(0, index)
        if x_BX.dtype != torch.uint8:
            return x_BX
        low, high = self.range
        return x_BX.to(torch.float32).div_(255).mul_(high - low).add_(low)

    def take(self, index: Tensor | slice) -> "Rows":
        """Some of the rows, in the order of `index`. A slice shares memory."""
        return replace(self, x=self.x[index], y=None if self.y is None else self.y[index])


@dataclass(frozen=True)
class Splits:
    """A data set in memory. `test` is None where the set has no test rows of its own."""

    train: Rows
    val: Rows
    test: Rows | None

    def facts(self) -> Facts:
        """The facts of what was loaded."""
        return Facts(tuple(self.train.x.shape[1:]), self.train.range, len(self.train), len(self.val))


class Dataset(Record):
    """A data set by name, or its first rows. Subclasses say how to read the whole of it."""

    name: str
    train_rows: PositiveInt | None = None
    """Use only the first so many training rows; None: all."""
    val_rows: PositiveInt | None = None
    """Use only the first so many validation rows; None: all."""

    licence: ClassVar[str] = ""

    def facts(self, root: Path | None = None) -> Facts:
        """Shape, range and sizes, read from disk only where they are not known beforehand. Raises DataError."""
        whole = self._facts(data_root(root))
        rows = {split: self._asked(split, getattr(whole, split)) for split in ("train_rows", "val_rows")}
        return replace(whole, **rows)

    def load(self, root: Path | None = None) -> Splits:
        """The rows, from below `root` (None: the user's cache). Raises DataError."""
        whole = self._read(data_root(root))
        train = whole.train.take(slice(self._asked("train_rows", len(whole.train))))
        val = whole.val.take(slice(self._asked("val_rows", len(whole.val))))
        return Splits(train, val, whole.test)

    def _asked(self, field: str, there: int) -> int:
        asked = getattr(self, field)
        if asked is not None and asked > there:
            raise DataError(f"{asked} rows asked for, but {self.name} has {there}: ask for at most {there}.", field)
        return asked or there

    @abstractmethod
    def _facts(self, root: Path) -> Facts:
        """Facts of the whole set."""

    @abstractmethod
    def _read(self, root: Path) -> Splits:
        """The whole set."""


def data_root(root: Path | None) -> Path:
    """The folder below which the sets lie: `root`, or the user's cache where none was given."""
    return Path.home() / ".cache" / "vaeorch" if root is None else Path(root)


def hold_out(rows: Rows, val_rows: int) -> Splits:
    """Shuffles with a fixed seed and holds the last `val_rows` out: runs of all seeds see the same split."""
    index = torch.from_numpy(np.random.default_rng(0).permutation(len(rows)))
    split = len(rows) - val_rows
    return Splits(rows.take(index[:split]), rows.take(index[split:]), None)
