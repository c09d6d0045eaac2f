"""Reads rows from files that must be read from front to back, one block in memory at a time, each block once."""

# Shapes: K rows requested, X dimensions of one row.

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.common.errors import Unfit
from trainables.common.lazy import np
from trainables.data.base import progress
from trainables.data.base.bounds import check_memory, check_unpacked
from trainables.data.formats.locate import sound

BLOCK_BYTES = 2**26  # 64 MiB


def gather(blocks: Iterable[np.ndarray], index: np.ndarray) -> np.ndarray:
    """The rows `index` (K,) of all blocks concatenated, (K, *X). Stops at the block of the last row wanted.

    The blocks must contain all of these rows, and there must be at least one block.
    """
    order = np.argsort(index, kind="stable")
    wanted_K, out_KX, start, done = index[order], None, 0, 0
    for block in blocks:
        stop = np.searchsorted(wanted_K, start + len(block))
        if out_KX is None:
            out_KX = np.empty((len(index), *block.shape[1:]), block.dtype)
        out_KX[order[done:stop]] = block[wanted_K[done:stop] - start]
        start, done = start + len(block), int(stop)
        progress.report(done, len(index))
        if done == len(index):
            break
    return out_KX


class Npz:
    """The arrays of a .npz file. Never loads pickled ones. Raises DataError that names the file and the key."""

    def __init__(self, path: Path):
        self.path = path

    def array(self, key: str) -> np.ndarray:
        """A whole array; for small ones."""
        with sound(self.path, f"key '{key}'"), zipfile.ZipFile(self.path) as archive:
            return read_member(archive, key)

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
        with (
            sound(self.path, f"key '{key}'"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(_info(archive, key)) as stream,
        ):
            yield stream


def load_npy(path: Path) -> np.ndarray:
    """The array of a .npy file. Raises what `read_plain` does."""
    with path.open("rb") as stream:
        return read_plain(stream, path.stat().st_size)[0]


def read_member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """A whole array of a .npz file. Raises Unfit before it unpacks anything too large."""
    info = _info(archive, key)
    check_unpacked(info.compress_size, info.file_size)
    with archive.open(info) as stream:
        x, rest = read_plain(stream, info.file_size)
    if rest:
        raise Unfit(f"'{key}' unpacks to {rest:,} bytes more than its header says: write it again.")
    return x


def read_plain(stream, size: int) -> tuple[np.ndarray, int]:
    """The array of a stream of `size` bytes in .npy format, and the number of bytes after it.

    Refuses pickled objects, which can run code. Raises TooMuch, and ValueError where the stream is too short.
    """
    shape, _, dtype = _header(stream)
    needed, begun = math.prod(shape) * dtype.itemsize, stream.tell()
    if not dtype.hasobject:
        if begun + needed > size:
            raise ValueError(f"{needed:,} bytes of numbers announced, {size - begun:,} there")
        check_memory(2 * needed)  # the later shuffle makes a copy
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False), size - stream.tell()


def _info(archive: zipfile.ZipFile, key: str) -> zipfile.ZipInfo:
    if f"{key}.npy" not in archive.namelist():
        raise Unfit("is not there")
    return archive.getinfo(f"{key}.npy")


def _header(stream) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    return readers[version](stream)


def _exactly(stream, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise Unfit("ends before its last row")
    return content
