"""Files and lines that are written whole or not at all, and the locks of those who make them."""

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
    """A file to be written, which has its name once it is whole and on the disk, in the place of any before.

    A kill, a loss of power or an exception leaves what was there. Raises OSError.
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
    """Add a line, its newline included, to a file: the whole of it, or nothing. Raises OSError.

    What an earlier process left half written at the end is cut off. The line outlives this process from here on, and,
    if `settled`, a loss of power.
    """
    with path.open("a+b", buffering=0) as file:
        cut(file)
        before = os.fstat(file.fileno()).st_size
        try:
            left = memoryview(line)
            while left:  # a disk that is nearly full takes a part
                left = left[file.write(left) :]
            if settled:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(before)
            raise


def cut(file: BinaryIO) -> None:
    """Cut off a last line that was left half written. Raises OSError."""
    size = os.fstat(file.fileno()).st_size
    if size and os.pread(file.fileno(), 1, size - 1) != NEWLINE:
        file.seek(0)
        file.truncate(file.read().rfind(NEWLINE) + 1)


def remove_half_written(folder: Path) -> None:
    """Remove what processes that were killed have left beside the files and folders that they were writing."""
    for path in folder.glob(".*"):
        if re.fullmatch(r"\..+\.\d+", path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the one process that makes a file or folder; others wait. The lock dies with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
