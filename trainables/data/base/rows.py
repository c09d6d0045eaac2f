"""Rows of data, loaded (Rows) or still in files (Stored); the splits of a set, and its facts."""

# Shapes: N rows of a set, B rows of a batch, K rows requested, X data dimensions (C, H, W or one),
# A attributes, F factors.

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

from trainables.common.errors import DataError, Unfit
from trainables.common.lazy import np, torch
from trainables.common.transfer import moved
from trainables.data.base.bounds import check_memory

Range = tuple[float, float]
UNIT: Range = (0.0, 1.0)
SIGNED: Range = (-1.0, 1.0)
PER_ROW = ("x", "y", "factors", "attributes")
SPLITS = ("train", "val", "test")
Split = Literal["train", "val", "test"]
DIGESTED_AT_ONCE = COPIED_AT_ONCE = 10_000  # rows
GPU_SHARE = 1 / 8  # of a GPU's free memory, which data may fill: other processes may train there, too


@dataclass(frozen=True)
class Facts:
    """What a network must know of its data. `range` is that of a batch's values; None where they are unbounded."""

    shape: tuple[int, ...]
    range: Range | None
    train_rows: int
    val_rows: int


@dataclass(frozen=True)
class Attributes:
    """Binary attributes of each row: `values` (N, A) bool, one name per column."""

    values: torch.Tensor
    names: tuple[str, ...]

    def __getitem__(self, index: torch.Tensor | slice) -> Attributes:
        return replace(self, values=self.values[index])


@dataclass(frozen=True)
class Factors(Attributes):
    """The generative factors of each row: `values` (N, F) int64, factor f from 0 to `sizes[f]` - 1."""

    sizes: tuple[int, ...]


class Column(Protocol):
    """The values of rows, (N, *X): a torch.Tensor in memory, or `Mapped`, which reads from mapped files."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: torch.Tensor | slice) -> Column: ...

    def index_select(self, dim: int, index: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class Rows:
    """Loaded rows: `x` (N, *X) uint8 or float32, in memory or in mapped files; `y` (N,) int64, None without labels.

    `classes` are the names of the labels 0, 1, ...; empty where labels are numbers without names.
    """

    x: Column
    y: torch.Tensor | None
    range: Range | None
    factors: Factors | None = None
    attributes: Attributes | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return tuple(self.x.shape[1:])

    def batch(self, index: torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
        """The rows `index` (B,) on `device`, as float32 (B, *X) in the set's range, to which bytes are scaled there."""
        x_BX = moved(self.x.index_select(0, moved(index, self.device)), device)
        if x_BX.dtype != torch.uint8:
            return x_BX
        low, high = self.range
        return x_BX.to(torch.float32).div_(255).mul_(high - low).add_(low)

    @property
    def device(self) -> torch.device | str:
        """The device that holds the rows."""
        return getattr(self.x, "device", "cpu")

    @cached_property
    def on_gpu(self) -> Rows:
        """These rows in the GPU's memory; as they are where they would fill more than GPU_SHARE of what is free."""
        size = len(self) * math.prod(self.shape) * self.x.dtype.itemsize
        if size > GPU_SHARE * torch.cuda.mem_get_info()[0]:
            return self
        x_NX = torch.empty(self.x.shape, dtype=self.x.dtype, device="cuda")
        for index in torch.arange(len(self)).split(COPIED_AT_ONCE):
            x_NX[index[0] : index[-1] + 1] = self.x.index_select(0, index)
        return replace(self, x=x_NX)

    def take(self, index: torch.Tensor | slice) -> Rows:
        """Some of the rows, in the order of `index`. A slice shares memory."""
        parts = {name: getattr(self, name) for name in PER_ROW}
        return replace(self, **{name: part[index] for name, part in parts.items() if part is not None})

    def read(self) -> Rows:
        """Returns itself."""
        return self


@dataclass(frozen=True)
class Stored:
    """Rows that are still in files, or still to be rendered: `order` (N,) int64 holds their indices there.

    `fetch` reads the rows of K such indices, an int64 array, as bytes in that order. `shape` is that of one row.
    `from_front`: each `fetch` reads its files from the start. `labels` are those of all rows in the files, where they
    are known without reading these; `classes` are their names, as in Rows.
    """

    order: torch.Tensor
    fetch: Callable[[np.ndarray], Rows]
    shape: tuple[int, ...]
    range: Range | None
    from_front: bool = False
    labels: torch.Tensor | None = None
    classes: tuple[str, ...] = ()

    @property
    def y(self) -> torch.Tensor | None:
        """The labels (N,); None where there are none, or only reading tells."""
        return None if self.labels is None else self.labels[self.order]

    def __len__(self) -> int:
        return len(self.order)

    def take(self, index: torch.Tensor | slice) -> Stored:
        """Some of the rows, in the order of `index`; nothing is read yet."""
        return replace(self, order=self.order[index])

    def read(self) -> Rows:
        """The rows in memory. Raises DataError that names the file, the row and the reason."""
        try:
            check_memory(len(self) * math.prod(self.shape))
        except Unfit as error:
            what = f"{len(self):,} rows of {'x'.join(map(str, self.shape))}: {error}"
            raise DataError(f"{what}, or prepare the set (vaeorch data prepare): then it is mapped.") from error
        return self.fetch(self.order.numpy())


Part = Rows | Stored


@dataclass(frozen=True)
class Splits:
    """A data set's splits, each loaded or still in files. `test` is None where the set has no test rows.

    `notes` are lines about what was left out or interpreted in a way that the user may not expect.
    """

    train: Part
    val: Part
    test: Part | None
    notes: tuple[str, ...] = ()

    def facts(self) -> Facts:
        """The facts of these splits."""
        return Facts(self.train.shape, self.train.range, len(self.train), len(self.val))

    def read(self) -> Splits:
        """The same splits, loaded."""
        test = None if self.test is None else self.test.read()
        return Splits(self.train.read(), self.val.read(), test, self.notes)


def shuffled(rows: Part) -> Part:
    """All rows in an order drawn with a fixed seed."""
    return rows.take(torch.from_numpy(np.random.default_rng(0).permutation(len(rows))))


def hold_out(rows: Part, val_rows: int, test_rows: int = 0) -> Splits:
    """Shuffle with a fixed seed; hold out the last rows to test, and those before them to validate.

    Runs with any seed get the same split.
    """
    mixed, first_test = shuffled(rows), len(rows) - test_rows
    val, test = slice(first_test - val_rows, first_test), slice(first_test, None)
    return Splits(mixed.take(slice(val.start)), mixed.take(val), mixed.take(test) if test_rows else None)


def class_name(classes: Sequence[str], label: int) -> str:
    """The name of a label; its number where labels have no names."""
    return classes[label] if classes else str(label)


def chunks(part: Part, rows: int) -> Iterator[Rows]:
    """A split in chunks of `rows` rows, each read when it is reached; the last may be shorter."""
    return (part.take(slice(start, start + rows)).read() for start in range(0, len(part), rows))


def digest(rows: Rows, *words: int | str) -> str:
    """A checksum of rows, with their labels, attributes and factors, and of some words: 16 hex digits."""
    sha256 = hashlib.sha256(repr((rows.range, rows.shape, str(rows.x.dtype), words)).encode())
    for part in (rows.x, rows.y, *(known.values for known in (rows.attributes, rows.factors) if known)):
        for index in () if part is None else torch.arange(len(part)).split(DIGESTED_AT_ONCE):
            sha256.update(part.index_select(0, index).contiguous().numpy())
    return sha256.hexdigest()[:16]
