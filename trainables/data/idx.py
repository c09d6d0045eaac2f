"""IDX, the format of the MNIST family: two zero bytes, the type, the rank, the sizes (big-endian), the values."""

# Shapes: N images of a file, H rows, W columns of pixels.

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

from trainables.data.base import DataError, one_line
from trainables.data.places import CURE
from trainables.late import np, torch

UBYTE = 0x08


def find(folder: Path, name: str) -> Path | None:
    """The file `name` in `folder`, unpacked or else as .gz; None where there is neither."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read_pair(images: Path, labels: Path, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, H, W) uint8 and their labels (N,) int64. Raises DataError where the two do not belong together."""
    x_NHW, y_N = read_idx(images, rank=3), read_idx(labels, rank=1)
    if len(x_NHW) != len(y_N):
        raise DataError(f"{labels}: {len(y_N)} labels for the {len(x_NHW)} images of {images.name}: {CURE}.")
    if y_N.max(initial=0) >= classes:
        row = int((y_N >= classes).argmax())
        raise DataError(f"{labels}: row {row} has label {y_N[row]}, 0 to {classes - 1} expected: {CURE}.")
    return torch.from_numpy(x_NHW[:, None]), torch.from_numpy(y_N.astype(np.int64))


def read_idx(path: Path, rank: int) -> np.ndarray:
    """The bytes of a file, unpacked or .gz, as an array of `rank` dimensions. Raises DataError."""
    raw = _content(path)
    expected = bytes((0, 0, UBYTE, rank))
    if raw[:4] != expected:
        raise DataError(f"{path}: magic number 0x{raw[:4].hex()}, 0x{expected.hex()} expected: {CURE}.")
    start = 4 + 4 * rank
    if len(raw) < start:
        raise DataError(f"{path}: the header ends after {len(raw)} of {start} bytes: {CURE}.")
    shape = struct.unpack(f">{rank}I", raw[4:start])
    if len(raw) - start != math.prod(shape):
        raise DataError(f"{path}: {len(raw) - start} values, {math.prod(shape)} announced by its header: {CURE}.")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy()  # a copy: torch wants to own what it writes


def _content(path: Path) -> bytes:
    """All bytes; of a .gz file up to its checksum, so that half a download is never taken for the whole."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except EOFError as error:
        raise DataError(f"{path}: the gzip file is truncated: {CURE}.") from error
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: not a sound gzip file ({one_line(error)}): {CURE}.") from error
    except zlib.error as error:
        raise DataError(f"{path}: the gzip file is damaged ({one_line(error)}): {CURE}.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): make it readable.") from error
