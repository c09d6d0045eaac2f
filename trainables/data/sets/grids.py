"""Data sets of every combination of their factors, each once, in lexicographic order (the last factor is fastest)."""

# Shapes: K rows requested, F factors.

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from trainables.common.errors import Unfit
from trainables.common.lazy import np, torch
from trainables.data.base import UNIT, Dataset, Factors, Facts, Rows, Splits, Stored, hold_out


@dataclass(frozen=True)
class Grid:
    """The names of the factors and their numbers of values."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def rows(self) -> int:
        return math.prod(self.sizes)

    def values(self, index: np.ndarray) -> np.ndarray:
        """The factors (K, F) of the rows `index` (K,), each counted from 0."""
        return np.stack(np.unravel_index(index, self.sizes), axis=1)

    def factors(self, index: np.ndarray) -> Factors:
        """The same as Factors."""
        return Factors(torch.from_numpy(self.values(index)), self.names, self.sizes)

    def check(self, found: np.ndarray) -> None:
        """Raises Unfit that names the first row whose factors (N, F) differ from those of its index."""
        if found.shape != (self.rows, len(self.sizes)):
            raise Unfit(f"factors of shape {found.shape}, {(self.rows, len(self.sizes))} expected")
        wrong_N = (found != self.values(np.arange(self.rows))).any(axis=1)
        if wrong_N.any():
            row = int(wrong_N.argmax())
            expected = self.values(np.array([row]))[0]
            raise Unfit(f"row {row} has factors {found[row].tolist()}, {expected.tolist()} expected")


class EveryCombination(Dataset):
    """A set of all combinations of its factors, each once. Subclasses read or render the pixels."""

    val_from_train: int
    """Number of validation images, chosen by a fixed shuffle."""

    grid: ClassVar[Grid]
    from_front: ClassVar[bool] = False
    """Whether the pixels are in a file that can only be read from the start."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image (C, H, W)."""

    @abstractmethod
    def _pixels(self, root: Path) -> Callable[[np.ndarray], np.ndarray]:
        """A function from indices of rows (K,) to images (K, C, H, W) uint8; the files are checked before."""

    def known_facts(self) -> Facts:
        return Facts(self.shape, UNIT, self.grid.rows - self.val_from_train, self.val_from_train)

    def from_files(self, root: Path) -> Splits:
        pixels = self._pixels(root)

        def fetch(index_K: np.ndarray) -> Rows:
            return Rows(torch.from_numpy(pixels(index_K)), None, UNIT, self.grid.factors(index_K))

        rows = Stored(torch.arange(self.grid.rows), fetch, self.shape, UNIT, self.from_front)
        return hold_out(rows, self.val_from_train)
