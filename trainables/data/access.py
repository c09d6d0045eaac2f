"""What callers ask about data sets before they train: answered where the data are, which may be another machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.common.roots import Root
from trainables.data.base import Dataset, Facts
from trainables.data.fingerprints import Fingerprint, changed, fingerprint
from trainables.data.loading import read_facts


def here(function: Callable, *values: Any) -> Any:
    """Call a function in this process."""
    return function(*values)


class NotHere(Exception):
    """The data are on other machines, which cannot be asked yet."""


def elsewhere(function: Callable, *values: Any) -> Any:
    """Raises NotHere."""
    raise NotHere


@dataclass(frozen=True)
class DataAccess:
    """The data sets below a root. Its methods raise DataError, and NotHere."""

    root: Root = None
    """Where they are; None: the user's cache."""
    call: Callable[..., Any] = here
    """Calls a function, given with its values, on a machine that has the data."""

    def facts(self, dataset: Dataset) -> Facts:
        """Shape, range and sizes of a data set."""
        call = here if dataset.known_facts() else self.call
        return call(read_facts, dataset, self.root)

    def fingerprint(self, dataset: Dataset) -> Fingerprint:
        """The fingerprint of all files that are read."""
        return self.call(fingerprint, dataset, self.root)

    def changed(self, known: Fingerprint, dataset: Dataset) -> list[Path]:
        """The files and folders that differ from a fingerprint."""
        return self.call(changed, known, dataset, self.root)


HERE = DataAccess()
"""The data sets in the user's cache on this machine."""
