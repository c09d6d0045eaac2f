"""Who works in a sweep's folder: one driver, and the processes of its slots. A lock goes with the process that has it.

Python closes these files in the programs that a process starts, so nobody inherits a lock.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from orchestrator.errors import UserError
from orchestrator.storage import layout

PATIENCE_S = 60.0  # for the slots of a driver that was killed: Ray ends them within seconds


@contextmanager
def driver(folder: Path) -> Iterator[None]:
    """Be the one driver of the sweep in `folder`, whose slots are all gone.

    Raises UserError if another process is, or if slots of an earlier one do not end.
    """
    with (folder / layout.DRIVER_LOCK).open("w") as file, (folder / layout.SLOTS_LOCK).open("w") as slots:
        if not _taken(file):
            raise UserError(f"{folder}: another process trains or evaluates here. Let it end, or stop it by Ctrl-C.")
        deadline = time.monotonic() + PATIENCE_S
        while not _taken(slots):
            if time.monotonic() > deadline:
                raise UserError(f"{folder}: processes of an earlier run still train here. End them, then try again.")
            time.sleep(0.1)
        fcntl.flock(slots, fcntl.LOCK_UN)
        yield


@cache
def slot(folder: Path) -> IO:
    """Say that this process trains for the sweep in `folder`, for as long as it lives."""
    file = (folder / layout.SLOTS_LOCK).open("w")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def _taken(file: IO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        told = f"{file.name}: this file system has no locks ({error.strerror})"
        raise UserError(f"{told}: choose an --out on one that has, or mount it with locks.") from None
    return True
