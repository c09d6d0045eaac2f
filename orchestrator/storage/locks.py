"""Locks on a sweep's folder, for its one driver and the processes of its slots. A lock ends with its process.

Python closes these files in the programs that a process starts, so none of them inherits a lock.
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
    """Make this process the only driver of the sweep in `folder`, once all slots of an earlier driver have ended.

    Raises UserError if another process is the driver, or if slots of an earlier one do not end.
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
    """Mark this process, for as long as it lives, as one that trains for the sweep in `folder`."""
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
