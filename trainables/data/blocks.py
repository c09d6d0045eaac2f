"""Rows out of files that must be read from front to back: one block in memory at a time, none of them twice."""

# Shapes: K rows asked for, X dimensions of one row.

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.data.base import Unfit
from trainables.data.places import sound
from trainables.late import np

BLOCK_BYTES = 2**26  # 64 MiB


def gather(blocks: Iterable[np.ndarray], index: np.ndarray) -> np.ndarray:
    """The rows `index` (K,) of all blocks joined, as (K, *X). No block is asked for after the last row wanted.

    The blocks must hold all of these rows, at least one of them.
    """
    order = np.argsort(index, kind="stable")
    wanted_K, out_KX, start, done = index[order], None, 0, 0
    for block in blocks:
        stop = np.searchsorted(wanted_K, start + len(block))
        if out_KX is None:
            out_KX = np.empty((len(index), *block.shape[1:]), block.dtype)
        out_KX[order[done:stop]] = block[wanted_K[done:stop] - start]
        start, done = start + len(block), stop
        if done == len(index):
            break
    return out_KX


class Npz:
    """The arrays of one .npz file. Pickled ones are never loaded. Raises DataError that names the file and the key."""

    def __init__(self, path: Path):
        self.path = path

    def array(self, key: str) -> np.ndarray:
        """A small one, whole."""
        with self._member(key) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    def shape(self, key: str) -> tuple[int, ...]:
        with self._member(key) as stream:
            return _header(stream)[0]

    def bytes_of(self, key: str) -> Iterator[np.ndarray]:
        """The rows of a uint8 array, a block at a time."""
        with self._member(key) as stream:
            shape, fortran, dtype = _header(stream)
            if fortran or dtype != np.uint8:
                raise Unfit(f"holds {'columns' if fortran else dtype} where rows of uint8 are expected")
            row = int(np.prod(shape[1:]))
            step = max(BLOCK_BYTES // row, 1)
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                block = np.frombuffer(_exactly(stream, rows * row), np.uint8)
                yield block.reshape(rows, *shape[1:])

    @contextmanager
    def _member(self, key: str) -> Iterator:
        with sound(self.path, f"key '{key}'"), zipfile.ZipFile(self.path) as archive:
            if f"{key}.npy" not in archive.namelist():
                raise Unfit("is not there")
            with archive.open(f"{key}.npy") as stream:
                yield stream


def _header(stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    return readers[version](stream)


def _exactly(stream, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise Unfit("ends before its last row")
    return content
