"""Locks on a sweep's folder, for its one driver and the processes of its slots. A lock ends with its process.

Python closes these files in the programs that a process starts, so none of them inherits a lock. The driver's lock also
tells which process holds it and what that does: `vaeorch list` shows it, `vaeorch stop` ends it.
"""

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO

from orchestrator.errors import UserError
from orchestrator.storage import layout

PATIENCE_S = 60.0  # for the slots of a driver that was killed: Ray ends them within seconds
MOMENT_S = 0.2  # for a process that only asks who holds a lock
TRAINS, EVALUATES, WORKS = "trains", "evaluates", "works"  # what a driver does; WORKS: anything else, as drawing


@dataclass(frozen=True)
class Holder:
    """The process that holds a folder's lock. All is empty of one that an earlier version of vaeorch has started."""

    work: str = ""
    """TRAINS, EVALUATES or WORKS."""
    host: str = ""
    pid: int = 0
    born: str = ""
    """When the process started, as the system counts it: another one may get its number. Empty where unknown."""

    @classmethod
    def own(cls, work: str) -> "Holder":
        """This process."""
        return cls(work, socket.gethostname(), os.getpid(), birth(os.getpid()))

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine that still lives."""
        return self.host == socket.gethostname() and self.pid > 0 and birth(self.pid) == self.born


@contextmanager
def driver(folder: Path, work: str = WORKS) -> Iterator[None]:
    """Make this process the only driver of the sweep in `folder`, once all slots of an earlier driver have ended.

    Raises UserError if another process is the driver, or if slots of an earlier one do not end.
    """
    lock = os.open(folder / layout.DRIVER_LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    with open(lock, "r+", encoding="utf-8") as file, (folder / layout.SLOTS_LOCK).open("w") as slots:
        if not _taken_in_time(file):
            known = holder(folder)
            who = f"process {known.pid} on {known.host}" if known and known.pid else "it"
            told = f"{folder}: another process trains or evaluates here."
            raise UserError(f"{told} Let {who} end, or stop it by Ctrl-C.")
        _write(file, json.dumps(asdict(Holder.own(work))))
        deadline = time.monotonic() + PATIENCE_S
        while not _taken(slots):
            if time.monotonic() > deadline:
                raise UserError(f"{folder}: processes of an earlier run still train here. End them, then try again.")
            time.sleep(0.1)
        fcntl.flock(slots, fcntl.LOCK_UN)
        try:
            yield
        finally:
            with suppress(OSError):
                _write(file, "")


def holder(folder: Path) -> Holder | None:
    """The process that is the driver of the sweep in `folder` now; None if there is none."""
    try:
        file = (folder / layout.DRIVER_LOCK).open()
    except OSError:  # nobody has ever taken it, or it is another user's: then it could not be told
        return None
    with file:
        try:
            if _taken(file, fcntl.LOCK_SH):
                return None
        except UserError:  # where there are no locks, nobody holds one
            return None
        try:
            return Holder(**json.loads(file.read()))
        except (OSError, ValueError, TypeError):  # it has only just taken it, or it is of an earlier version
            return Holder()


@cache
def slot(folder: Path) -> IO:
    """Mark this process, for as long as it lives, as one that trains for the sweep in `folder`."""
    file = (folder / layout.SLOTS_LOCK).open("w")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def birth(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty if it has ended, or this system does not tell."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    fields = re.sub(r".*\)", "", told, flags=re.DOTALL).split()  # after the program's name, which may hold anything
    return fields[19] if len(fields) > 19 else ""


def _taken_in_time(file: IO) -> bool:
    """Whether a lock is taken: `holder` has it for a moment, which is waited for."""
    deadline = time.monotonic() + MOMENT_S
    while not _taken(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _taken(file: IO, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        told = f"{file.name}: this file system has no locks ({error.strerror})"
        raise UserError(f"{told}: choose an --out on one that has, or mount it with locks.") from None
    return True


def _write(file: IO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
