"""Reports the progress of reading a split to a callback of the caller's context."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Told = Callable[[int, int], None]
"""(rows read, rows in all): the callback of a split's reading."""

_told: ContextVar[Told] = ContextVar("told", default=lambda done, of: None)


@contextmanager
def heard(told: Told) -> Iterator[None]:
    """Reports the progress of all reading within to `told`."""
    token = _told.set(told)
    try:
        yield
    finally:
        _told.reset(token)


def tell(done: int, of: int) -> None:
    """Report that `done` of the rows are read."""
    _told.get()(done, of)
