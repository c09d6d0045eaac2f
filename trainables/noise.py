"""Random numbers as a function of (seed, epoch, step, row), never of the worker's rank or of earlier draws.

So a resumed run, or one on another number of workers, draws the same numbers.
"""

import threading
from collections.abc import Callable
from hashlib import blake2b

import torch
from torch import Tensor

from trainables.common.transfer import moved

Key = tuple[int | str, ...]


def seed_of(*key: int | str) -> int:
    """A 63-bit seed that depends on every word of the key."""
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "big") >> 1


class _Own(threading.local):
    """Each thread's generator. It is seeded before each draw."""

    def __init__(self):
        self.generator = torch.Generator()


_own = _Own()


class Noise:
    """Noise for this worker's rows of one batch.

    It draws the noise of the whole batch and keeps the worker's rows, so that a row gets the same noise whichever
    worker computes it.
    """

    def __init__(self, *key: int | str, rows: slice, total: int, device: torch.device | str = "cpu"):
        self.key, self.rows, self.total, self.device = key, rows, total, device

    def normal(self, stream: str, *shape: int) -> Tensor:
        """Independent N(0, 1) of shape (B, *shape); another `stream` is independent of this one."""
        return self._rows(torch.randn, stream, shape)

    def uniform(self, stream: str, *shape: int) -> Tensor:
        """Independent uniform numbers from [0, 1) of shape (B, *shape), likewise."""
        return self._rows(torch.rand, stream, shape)

    def under(self, *words: int | str) -> "Noise":
        """Noise for the same rows, independent of this one and of that with other words."""
        return Noise(*self.key, *words, rows=self.rows, total=self.total, device=self.device)

    def shared(self, rows: int = 1) -> "Noise":
        """Noise for `rows` rows, the same on all workers, whatever their shares of the batch."""
        return Noise(*self.key, "shared", rows=slice(rows), total=rows, device=self.device)

    def _rows(self, draw: Callable[..., Tensor], stream: str, shape: tuple[int, ...]) -> Tensor:
        drawn = draw(self.total, *shape, generator=_own.generator.manual_seed(seed_of(*self.key, stream)))
        if self.rows != slice(0, self.total):
            drawn = drawn[self.rows]
        return moved(drawn, self.device)
