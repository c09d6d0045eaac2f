"""How far the reading of a split has come, told to whoever listens."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Told = Callable[[int, int], None]
"""Is told how many rows of a split are read, and of how many."""

_told: ContextVar[Told] = ContextVar("told", default=lambda done, of: None)


@contextmanager
def heard(told: Told) -> Iterator[None]:
    """What is read within is told."""
    token = _told.set(told)
    try:
        yield
    finally:
        _told.reset(token)


def tell(done: int, of: int) -> None:
    """So many rows of a split are read."""
    _told.get()(done, of)
