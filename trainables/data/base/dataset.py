"""Dataset: the base of all data sets, a record that states its facts and opens its files. `loading.py` uses it."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.records import Record
from trainables.data.base.rows import SIGNED, UNIT, Facts, Range, Splits


class Dataset(Record):
    """A data set by name, or its first rows. Subclasses open the whole set."""

    name: str
    train_rows: PositiveInt | None = None
    """Number of training rows to use, the first of the split; None: all."""
    val_rows: PositiveInt | None = None
    """Number of validation rows to use, the first of the split; None: all."""

    reference: ClassVar[Literal["train", "test"]] = "test"
    """The split that papers compare generated data of this set with in the FID."""
    licence: ClassVar[str] = ""
    kl_warmup: ClassVar[float] = 0.0  # default share of the epochs over which the KL's weight rises
    citation: ClassVar[str] = ""
    """Authors, title, venue and year to cite."""
    home: ClassVar[str] = ""
    """Where its files are published; empty where there is nothing to download."""
    is_downloaded: ClassVar[bool] = False
    """Whether its files are downloaded by themselves where they are absent."""
    classes: ClassVar[int] = 0
    """Number of classes of its labels, as published; 0 without labels and for the user's own data."""
    is_own: ClassVar[bool] = False
    """Whether the data are the user's own, so that nothing is known without the files."""

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        """The files or folders that are read below the data root: for each, its possible names."""
        return ()

    @abstractmethod
    def known_facts(self) -> Facts | None:
        """Facts of the whole set; None where they are not known without its files. Raises DataError."""

    @abstractmethod
    def from_files(self, root: Path) -> Splits:
        """The whole set from its original files below `root`. Raises DataError."""


class Photographs(Dataset):
    """Colour pictures, which some papers scale to [-1, 1] and some to [0, 1]."""

    signed: bool = False
    """Values in [-1, 1], as in VIMAE and WAE; otherwise in [0, 1]."""

    @property
    def range(self) -> Range:
        """The range of a batch's values."""
        return SIGNED if self.signed else UNIT
