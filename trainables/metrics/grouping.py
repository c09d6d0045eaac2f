"""Rows that share a factor's value, drawn at random: what a metric of disentanglement fixes."""

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
        """Numbers of rows (V, S). Those of a draw agree in the factor, its value being that of a row drawn from all."""
        value_V = self.value_N[rng.integers(len(self.value_N), size=draws)]
        offset_VS = (rng.random((draws, size)) * self.count[value_V, None]).astype(np.int64)
        return self.by_value_N[self.first[value_V, None] + offset_VS]
