"""Finds the files of data sets, and turns absent or damaged files into DataErrors that say how to fix them."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.common.errors import DataError, Unfit, one_line
from trainables.data.base import Dataset
from trainables.data.base.bounds import TooMuch, check_plain

CURE = "delete it and get it again"
ELSEWHERE = "put it there, or name another data root (--data-root or VAEORCH_DATA)"
DAMAGED = (
    *(OSError, EOFError, ValueError, LookupError, RuntimeError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),
    *(SyntaxError, tokenize.TokenError),  # numpy parses the header of an array as Python literals
)
"""What numpy, zipfile, h5py, pyarrow and Pillow raise on a file that is not what its suffix says."""


def find(dataset: type[Dataset], root: Path, *names: str) -> Path:
    """The first of `names` that exists below `root`. Raises DataError that says where to download it."""
    there = next((root / name for name in names if (root / name).exists()), None)
    if there is None:
        raise DataError(f"{root}: no {' nor '.join(names)}: get it from {dataset.home} and {ELSEWHERE}.")
    with sound(there):
        check_plain(there)
    return there


def find_all(dataset: Dataset, root: Path) -> list[Path]:
    """The paths of the data set's files. Raises DataError that says where to download the first absent one."""
    return [find(type(dataset), root, *names) for names in dataset.wanted()]


@contextmanager
def sound(path: Path, row: str = "", cure: str = CURE) -> Iterator[None]:
    """Turns errors of reading a file into DataErrors that name it, and the row where it is known."""
    place = f"{path}: {row}: " if row else f"{path}: "
    try:
        yield
    except TooMuch as error:
        raise DataError(f"{place}{error}.") from error
    except Unfit as error:
        raise DataError(f"{place}{error}: {cure}.") from error
    except PermissionError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror}): make it readable.") from error
    except DAMAGED as error:
        raise DataError(f"{place}damaged or something else ({one_line(error)}): {cure}.") from error
