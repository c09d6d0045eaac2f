"""Rows of data: at hand (Rows) or still in files (Stored), the splits of a set, and the facts of one."""

# Shapes: N rows of a set, B rows of a batch, K rows asked for, X data dimensions (C, H, W or one),
# A attributes, F factors.

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from trainables.common.errors import DataError, Unfit
from trainables.common.lazy import np, torch
from trainables.data.base.bounds import check_memory

Range = tuple[float, float]
UNIT: Range = (0.0, 1.0)
SIGNED: Range = (-1.0, 1.0)
PER_ROW = ("x", "y", "factors", "attributes")
SPLITS = ("train", "val", "test")
Split = Literal["train", "val", "test"]
DIGESTED_AT_ONCE = 10_000  # rows


@dataclass(frozen=True)
class Facts:
    """What a network has to know of its data. `range` is that of a batch's values; None where they are unbounded."""

    shape: tuple[int, ...]
    range: Range | None
    train_rows: int
    val_rows: int


@dataclass(frozen=True)
class Attributes:
    """What is true of each row: `values` (N, A) bool, one name for each column."""

    values: torch.Tensor
    names: tuple[str, ...]

    def __getitem__(self, index: torch.Tensor | slice) -> Attributes:
        return replace(self, values=self.values[index])


@dataclass(frozen=True)
class Factors(Attributes):
    """What each row was made from: `values` (N, F) int64, factor f from 0 to `sizes[f]` - 1."""

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
    """Rows at hand: `x` (N, *X) uint8 or float32, in memory or in mapped files; `y` (N,) int64 or None, no labels."""

    x: Column
    y: torch.Tensor | None
    range: Range | None
    factors: Factors | None = None
    attributes: Attributes | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of one row."""
        return tuple(self.x.shape[1:])

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        """The rows `index` (B,) as float32 (B, *X) in the set's range. Bytes 0..255 span the range from end to end."""
        x_BX = self.x.index_select(0, index)
        if x_BX.dtype != torch.uint8:
            return x_BX
        low, high = self.range
        return x_BX.to(torch.float32).div_(255).mul_(high - low).add_(low)

    def take(self, index: torch.Tensor | slice) -> Rows:
        """Some of the rows, in the order of `index`. A slice shares memory."""
        parts = {name: getattr(self, name) for name in PER_ROW}
        return replace(self, **{name: part[index] for name, part in parts.items() if part is not None})

    def read(self) -> Rows:
        """Itself: they are read."""
        return self


@dataclass(frozen=True)
class Stored:
    """Rows that still lie in files, or are still to be drawn: `order` (N,) int64 holds their numbers there.

    `fetch` makes Rows of bytes of K such numbers, an int64 array, in their order. `shape` is that of one row.
    `from_front` says that it goes through its files from the front each time.
    """

    order: torch.Tensor
    fetch: Callable[[np.ndarray], Rows]
    shape: tuple[int, ...]
    range: Range | None
    from_front: bool = False

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
    """A data set, each part in memory or still to be read. `test` is None where the set has no test rows of its own.

    `notes` are lines about what was left out, or taken otherwise than its owner may expect.
    """

    train: Part
    val: Part
    test: Part | None
    notes: tuple[str, ...] = ()

    def facts(self) -> Facts:
        """The facts of what is there."""
        return Facts(self.train.shape, self.train.range, len(self.train), len(self.val))

    def read(self) -> Splits:
        """The same in memory."""
        test = None if self.test is None else self.test.read()
        return Splits(self.train.read(), self.val.read(), test, self.notes)


def shuffled(rows: Part) -> Part:
    """All rows in an order drawn with a fixed seed."""
    return rows.take(torch.from_numpy(np.random.default_rng(0).permutation(len(rows))))


def hold_out(rows: Part, val_rows: int, test_rows: int = 0) -> Splits:
    """Shuffles with a fixed seed and holds out the last rows, to test, and those before them, to validate.

    Runs of all seeds see the same split.
    """
    mixed, first_test = shuffled(rows), len(rows) - test_rows
    val, test = slice(first_test - val_rows, first_test), slice(first_test, None)
    return Splits(mixed.take(slice(val.start)), mixed.take(val), mixed.take(test) if test_rows else None)


def chunks(part: Part, rows: int) -> Iterator[Rows]:
    """A split in pieces of so many rows, each read when its turn comes; the last may be shorter."""
    return (part.take(slice(start, start + rows)).read() for start in range(0, len(part), rows))


def digest(rows: Rows, *words: int | str) -> str:
    """A checksum of the content of rows, of all that is known of them, and of some words: 16 hex digits."""
    sha256 = hashlib.sha256(repr((rows.range, rows.shape, str(rows.x.dtype), words)).encode())
    for part in (rows.x, rows.y, *(known.values for known in (rows.attributes, rows.factors) if known)):
        for index in () if part is None else torch.arange(len(part)).split(DIGESTED_AT_ONCE):
            sha256.update(part.index_select(0, index).contiguous().numpy())
    return sha256.hexdigest()[:16]
