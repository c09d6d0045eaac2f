"""Reads IDX, the format of the MNIST family: two zero bytes, the type, the rank, the sizes (big-endian), the values."""

# Shapes: N images of a file, H rows, W columns of pixels.

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainables.common.errors import DataError, Unfit, one_line
from trainables.common.lazy import np, torch
from trainables.data.base.bounds import check_plain
from trainables.data.formats.locate import CURE, sound

UBYTE = 0x08
BLOCK_BYTES = 1 << 20
MOST_BYTES = 64 << 20  # the 60,000 images of the family have 45 MiB


def find(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, unpacked or else as .gz; None if both are absent."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def read_pair(images: Path, labels: Path, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, H, W) uint8 and their labels (N,) int64. Raises DataError where the two do not match."""
    x_NHW, y_N = read_idx(images, rank=3), read_idx(labels, rank=1)
    if len(x_NHW) != len(y_N):
        raise DataError(f"{labels}: {len(y_N)} labels for the {len(x_NHW)} images of {images.name}: {CURE}.")
    if y_N.max(initial=0) >= classes:
        row = int((y_N >= classes).argmax())
        raise DataError(f"{labels}: row {row} has label {y_N[row]}, 0 to {classes - 1} expected: {CURE}.")
    return torch.from_numpy(x_NHW[:, None]), torch.from_numpy(y_N.astype(np.int64))


def read_idx(path: Path, rank: int) -> np.ndarray:
    """The bytes of a file, unpacked or .gz, as an array of `rank` dimensions. Raises DataError."""
    with _told(path), _opened(path) as stream:
        shape = _shape(stream, rank)
        content, announced = bytearray(), math.prod(shape)
        most = min(announced + BLOCK_BYTES, MOST_BYTES)
        while len(content) <= most and (block := stream.read(BLOCK_BYTES)):  # to the end, where .gz has its checksum
            content += block
        if len(content) != announced:
            found = f"over {most}" if len(content) > most else len(content)
            raise Unfit(f"{found} values, {announced} announced by its header")
        return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(stream, rank: int) -> tuple[int, ...]:
    start, expected = 4 + 4 * rank, bytes((0, 0, UBYTE, rank))
    head = stream.read(start)
    if head[:4] != expected:
        raise Unfit(f"magic number 0x{head[:4].hex()}, 0x{expected.hex()} expected")
    if len(head) < start:
        raise Unfit(f"the header ends after {len(head)} of {start} bytes")
    return struct.unpack(f">{rank}I", head[4:])


def _opened(path: Path):
    check_plain(path)
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns errors of reading a file into DataErrors that name it."""
    with sound(path):
        try:
            yield
        except EOFError as error:
            raise Unfit("the gzip file is truncated") from error
        except gzip.BadGzipFile as error:
            raise Unfit(f"not a sound gzip file ({one_line(error)})") from error
        except zlib.error as error:
            raise Unfit(f"the gzip file is damaged ({one_line(error)})") from error
