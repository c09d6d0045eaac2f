"""The callback by which long work reports how much of it is done."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""(done, of): steps, rows or bytes, whatever the work consists of."""


def silent(done: int, of: int) -> None:
    """A Progress that ignores every report."""
