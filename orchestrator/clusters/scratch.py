"""The folder of a private Ray, closed to other users. The driver removes it, or else the next driver at its start.

Everybody may open what Ray writes. So Ray's folder is inside a folder with mode 0700.
"""

import fcntl
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import UserError

PREFIX, DRIVER, RAYS_OWN = "vaeorch-", "driver", "r"
USUAL = "/tmp"
LONGEST_BYTES = 20  # of its parent's path: Ray's longest socket path has 87 more, and may have 107
REMOVALS = 10  # attempts
NAMED_WITHIN_S = 60.0  # a new folder has the name of its machine by then
PLAIN = re.compile(rf"[\w./+-]{{1,{LONGEST_BYTES}}}", re.ASCII)  # paths that are safe in Ray's command lines


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields a new folder for Ray's sockets and logs, and removes it at the end. Raises UserError."""
    for place in {_usual(), USUAL}:
        remove_left_over(Path(place))
    folder = _made()
    with (folder / DRIVER).open("w") as driver:  # child programs do not inherit it: the lock ends with us
        with suppress(OSError):  # the file system has no locks: then no other driver removes the folder
            fcntl.flock(driver, fcntl.LOCK_EX)
            driver.write(socket.gethostname())
            driver.flush()
        try:
            (folder / RAYS_OWN).mkdir()
            yield folder / RAYS_OWN
        finally:
            _remove(folder)


def remove_left_over(parent: Path) -> None:
    """Remove the folders of this user's drivers that are gone, except those that another machine has made here."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is another user's, or has no locks, or its driver is running
            if folder.lstat().st_uid == os.getuid() and _left_over(folder):
                _remove(folder)


def _left_over(folder: Path) -> bool:
    """Whether the driver that made it on this machine is gone. One killed at its start or end has left no name in it.

    Raises OSError where the driver is running.
    """
    host = ""
    with suppress(FileNotFoundError), (folder / DRIVER).open("r+") as driver:
        fcntl.flock(driver, fcntl.LOCK_EX | fcntl.LOCK_NB)
        host = driver.read()
    nameless = not host and time.time() - folder.stat().st_mtime > NAMED_WITHIN_S
    return nameless or host == socket.gethostname()


def _usual() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # no folder for temporary files can be written
        return USUAL


def _made() -> Path:
    parent = _usual() if PLAIN.fullmatch(_usual()) else USUAL
    try:
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # with the mode 0700
    except OSError as error:
        cure = f"Set TMPDIR to a folder whose path has at most {LONGEST_BYTES} bytes."
        raise UserError(f"{parent}: Ray needs room for temporary files here: {error.strerror}. {cure}") from None


def _remove(folder: Path) -> None:
    """Remove the folder. If Ray's last processes still write there, it stays for a later driver to remove."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder / RAYS_OWN, ignore_errors=True)
        if not (folder / RAYS_OWN).exists():
            break
        time.sleep(0.1)
    if not (folder / RAYS_OWN).exists():
        shutil.rmtree(folder, ignore_errors=True)
