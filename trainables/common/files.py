"""Atomic writes of files and lines, and locks between processes."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

NEWLINE = b"\n"


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for writing and rename it to `path`, replacing it, once its content is on the disk.

    A kill, a power loss or an exception leaves `path` as it was. Raises OSError.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def append(path: Path, line: bytes, settled: bool = True) -> None:
    """Append a line, its newline included, to a file: all of it or nothing. Raises OSError.

    First removes a partial last line of a killed process. After the return the line survives the end of this process
    and, if `settled`, a power loss.
    """
    with path.open("a+b", buffering=0) as file:
        cut(file)
        before = os.fstat(file.fileno()).st_size
        try:
            left = memoryview(line)
            while left:  # a nearly full disk accepts only a part
                left = left[file.write(left) :]
            if settled:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def cut(file: BinaryIO) -> None:
    """Remove a partial last line. Raises OSError."""
    size = os.fstat(file.fileno()).st_size
    if size and os.pread(file.fileno(), 1, size - 1) != NEWLINE:
        file.seek(0)
        file.truncate(file.read().rfind(NEWLINE) + 1)


def remove_half_written(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes have left in a folder."""
    for path in folder.glob(".*"):
        if re.fullmatch(r"\..+\.\d+", path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock to write a file or folder; other processes wait. The lock is released when its process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
