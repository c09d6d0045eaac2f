"""What every data set is: a record that states its facts without reading, and opens its splits."""

# Shapes: N rows of a set, B rows of a batch, K rows asked for, X data dimensions (C, H, W or one),
# A attributes, F factors.

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.errors import DataError, Unfit
from trainables.common.lazy import bounds, bucket, mapped, np, prepared, torch
from trainables.common.records import Record
from trainables.common.roots import Root, in_bucket, root_of

if TYPE_CHECKING:
    from trainables.data.prepared.mapped import Mapped

Range = tuple[float, float]
UNIT: Range = (0.0, 1.0)
SIGNED: Range = (-1.0, 1.0)
PER_ROW = ("x", "y", "factors", "attributes")
SPLITS = ("train", "val", "test")


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


@dataclass(frozen=True)
class Rows:
    """Rows at hand: `x` (N, *X) uint8 or float32, in memory or in mapped files; `y` (N,) int64 or None, no labels."""

    x: torch.Tensor | Mapped
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
            bounds.check_memory(len(self) * math.prod(self.shape))
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


class Dataset(Record):
    """A data set by name, or its first rows. Subclasses say how to open the whole of it."""

    name: str
    train_rows: PositiveInt | None = None
    """Use only the first so many training rows; None: all."""
    val_rows: PositiveInt | None = None
    """Use only the first so many validation rows; None: all."""

    reference: ClassVar[Literal["train", "test"]] = "test"
    """The split whose statistics papers take for the FID of these data."""
    licence: ClassVar[str] = ""
    kl_warmup: ClassVar[float] = 0.0  # share of the epochs over which the KL's weight rises, unless the run says
    citation: ClassVar[str] = ""
    """Whom to cite: authors, title, where, year."""
    home: ClassVar[str] = ""
    """Where its files are published; empty where there are none to get."""
    classes: ClassVar[int] = 0
    """How many its labels tell apart, as published; 0 where it has none, and of one's own."""
    is_own: ClassVar[bool] = False
    """Whether it is the user's, and nothing is known of it but from its files."""

    def facts(self, root: Root = None) -> Facts:
        """Shape, range and sizes, read from disk only where they are not known beforehand. Raises DataError."""
        whole = self._facts(data_root(root))
        rows = {split: self._asked(split, getattr(whole, split)) for split in ("train_rows", "val_rows")}
        return replace(whole, **rows)

    def open(self, root: Root = None) -> Splits:
        """The splits, from below `root` (None: the user's cache); rows are read as they are asked for.

        A prepared set is taken in place of the files where there is one; from a bucket it is fetched first, once for
        all processes of this machine. Raises DataError where a file is missing or its lists are unsound.
        """
        whole = self.whole(data_root(root))
        train = whole.train.take(slice(self._asked("train_rows", len(whole.train))))
        val = whole.val.take(slice(self._asked("val_rows", len(whole.val))))
        return Splits(train, val, whole.test, whole.notes)

    def load(self, root: Root = None) -> Splits:
        """The splits in memory, or in mapped files where the set is prepared. Raises DataError."""
        return self.open(root).read()

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        """What is read below the data root: for each file, or folder, the names by which it may go."""
        return ()

    def whole(self, root: Path | str) -> Splits:
        """The whole set, prepared or from its files. Raises DataError."""
        if in_bucket(root):
            folder, root = bucket.folder_of(self, root), data_root(None)
        else:
            folder = prepared.folder_of(self, root)
        there = folder is not None and (folder / prepared.INDEX).exists()
        return mapped.open_set(self, folder) if there else self.from_files(root)

    def from_files(self, root: Path) -> Splits:
        """The whole set from its files, prepared or not. Raises DataError."""
        return self._open(root)

    def _asked(self, field: str, there: int) -> int:
        asked = getattr(self, field)
        if asked is not None and asked > there:
            raise DataError(f"{asked} rows asked for, but {self.name} has {there}: ask for at most {there}.", field)
        return asked or there

    @abstractmethod
    def _facts(self, root: Path | str) -> Facts:
        """Facts of the whole set."""

    @abstractmethod
    def _open(self, root: Path) -> Splits:
        """The whole set."""


class Photographs(Dataset):
    """Colour pictures, which some papers give to their networks in [-1, 1] and some in [0, 1]."""

    signed: bool = False
    """Values in [-1, 1], as VIMAE and WAE; otherwise in [0, 1]."""

    @property
    def range(self) -> Range:
        """That of a batch's values."""
        return SIGNED if self.signed else UNIT


def data_root(root: Root) -> Path | str:
    """Below what the sets lie: `root`, or the user's cache where none was given."""
    return Path.home() / ".cache" / "vaeorch" if root is None else root_of(root)


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
