"""What takes a moment, waited for."""

import time


def until(true, seconds: float = 300.0) -> None:
    """Wait until `true()` is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
