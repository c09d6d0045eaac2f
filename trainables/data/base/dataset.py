"""What every data set is: a record that states its facts, and opens its own files. `loading.py` opens data sets."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.records import Record
from trainables.data.base.rows import SIGNED, UNIT, Facts, Range, Splits


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

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        """What is read below the data root: for each file, or folder, the names by which it may go."""
        return ()

    @abstractmethod
    def known_facts(self) -> Facts | None:
        """Facts of the whole set that are known without its files; None where only they tell. Raises DataError."""

    @abstractmethod
    def from_files(self, root: Path) -> Splits:
        """The whole set from its files below `root`, prepared or not. Raises DataError."""


class Photographs(Dataset):
    """Colour pictures, which some papers give to their networks in [-1, 1] and some in [0, 1]."""

    signed: bool = False
    """Values in [-1, 1], as VIMAE and WAE; otherwise in [0, 1]."""

    @property
    def range(self) -> Range:
        """That of a batch's values."""
        return SIGNED if self.signed else UNIT
