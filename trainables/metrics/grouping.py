"""Draws rows that share the value of a factor, for metrics of disentanglement that fix one factor."""

# Shapes: V draws, S rows of each, N rows of the set.

from __future__ import annotations

from trainables.common.lazy import np


class Groups:
    """The rows of a set by the value of one factor."""

    def __init__(self, value_N: np.ndarray):
        self.value_N = value_N
        self.by_value_N = np.argsort(value_N, kind="stable")
        self.first, self.count = (np.zeros(int(value_N.max()) + 1, dtype=np.int64) for _ in range(2))
        values, first, count = np.unique(value_N[self.by_value_N], return_index=True, return_counts=True)
        self.first[values], self.count[values] = first, count

    def draw(self, rng: np.random.Generator, draws: int, size: int) -> np.ndarray:
        """Indices of rows (V, S). Each draw takes a random row's value of the factor, then S rows with that value."""
        value_V = self.value_N[rng.integers(len(self.value_N), size=draws)]
        offset_VS = (rng.random((draws, size)) * self.count[value_V, None]).astype(np.int64)
        return self.by_value_N[self.first[value_V, None] + offset_VS]
