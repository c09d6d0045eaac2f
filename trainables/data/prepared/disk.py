"""Writes folders that processes share: one process at a time, each file atomically, disk errors as DataErrors."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.common.errors import DataError
from trainables.common.files import locked, whole

MIB = 1 << 20


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the lock to write into a folder; other processes wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        yield


@contextmanager
def disk_errors_as_data_errors(folder: Path, elsewhere: str) -> Iterator[None]:
    """Turns OSError into DataError; `elsewhere` says how to choose another folder."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = f"free room, or {elsewhere}" if full else elsewhere
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}): {cure}.") from error


def check_room(folder: Path, needed: int, elsewhere: str) -> None:
    """Raises DataError where the disk has fewer bytes free than `needed`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        sizes = f"{needed / MIB:,.1f} MiB are to be written, but {free / MIB:,.1f} MiB are free"
        raise DataError(f"{folder}: {sizes}: free room, or {elsewhere}.")


def write_durably(path: Path, content: Iterable[bytes]) -> None:
    """Write a file, whole or not at all. Raises what `content` does, and OSError."""
    with whole(path) as file:
        file.writelines(content)


def sync(folder: Path) -> None:
    """Flush a folder's entries to disk, so that they survive a power loss."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
