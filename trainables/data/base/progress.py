"""Reports the progress of reading a split to a callback of the caller's context."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from trainables.common.progress import Progress, silent

_progress: ContextVar[Progress] = ContextVar("progress", default=silent)


@contextmanager
def reported_to(progress: Progress) -> Iterator[None]:
    """Reports the progress of all reading within to `progress`: (rows read, rows in all)."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)


def report(done: int, of: int) -> None:
    """Report that `done` of the rows are read."""
    _progress.get()(done, of)
