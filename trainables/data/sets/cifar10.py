"""CIFAR-10, from the official pickles (read, never run), from parquet files, or from the sprite sheets of a part."""

# Shapes: N images of a file, K images requested.

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.errors import DataError, Unfit
from trainables.common.lazy import Image, np, parquet, torch
from trainables.data.base import Facts, Photographs, Range, Rows, Splits, Stored
from trainables.data.base.bounds import check_memory, small_content
from trainables.data.formats.blocks import gather, load_npy
from trainables.data.formats.decoding import Album, of_size
from trainables.data.formats.locate import find_all, sound
from trainables.data.formats.pickles import read_pickle
from trainables.data.formats.tables import unpacked_bytes

SHAPE = (3, 32, 32)
CLASSES = 10
BATCH_ROWS = 10_000  # images of a pickle
SHEET_ROWS = 1_000  # images of a sprite sheet, one in each row of pixels
NAMES = {
    "python": (
        *(f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)),
        "cifar-10-batches-py/test_batch",
    ),
    "parquet": ("cifar10/train.parquet", "cifar10/test.parquet"),
    "sprites": (
        *(f"cifar10/lossless/cifar10_batch_{number}.png" for number in range(4)),
        *("cifar10/train_labels.npy", "cifar10/lossless/cifar10_batch_50.png", "cifar10/test_labels.npy"),
    ),
}
"""The files of each form: those of the training images, then those of the test images."""


class Cifar10(Photographs):
    """Photographs of 10 classes, 32x32 colour: 40,000 / 10,000 / 10,000 images.

    The validation images are the last of the training file, as in ARD-VAE. The files have one of three forms:

    - python: cifar-10-batches-py/data_batch_1 to 5 and test_batch, the official ones.
    - parquet: cifar10/train.parquet and test.parquet, columns `image` (or `img`), compressed, and `label`. Pixels from
      JPEG files are not the official ones: likelihoods and FID on them do not compare with published numbers.
    - sprites: cifar10/lossless/cifar10_batch_0 to 3 and 50.png, one image in each row of pixels, and
      cifar10/train_labels.npy and test_labels.npy: the first 4,000 training and 1,000 test images, pixel for pixel.
    """

    name: Literal["cifar10"] = "cifar10"
    files: Literal["python", "parquet", "sprites"] = "python"
    """The form of the files."""
    val_from_train: PositiveInt | None = None
    """Number of validation images, the last of the training file; None: a fifth, ARD-VAE's 10,000 of 50,000."""

    source: ClassVar[str] = "Krizhevsky 2009, Learning multiple layers of features from tiny images"
    reference: ClassVar[Literal["train", "test"]] = "train"
    licence: ClassVar[str] = "none stated by its authors"
    citation: ClassVar[str] = (
        "Krizhevsky: Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009"
    )
    home: ClassVar[str] = "www.cs.toronto.edu/~kriz/cifar.html"
    classes: ClassVar[int] = CLASSES

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return tuple((name,) for name in NAMES[self.files])

    def known_facts(self) -> Facts:
        known_rows, _ = ROWS[self.files]
        held = known_rows // 5 if self.val_from_train is None else self.val_from_train
        if held >= known_rows:
            text = f"{held} of {known_rows} images held out leave none to train on: hold out fewer."
            raise DataError(text, "val_from_train")
        return Facts(SHAPE, self.range, known_rows - held, held)

    def from_files(self, root: Path) -> Splits:
        rows = self.known_facts().train_rows
        known, test = (_stored(half, self.range) for half in FORMS[self.files](find_all(self, root)))
        return Splits(known.take(slice(rows)), known.take(slice(rows, None)), test)


@dataclass(frozen=True)
class Half:
    """The training or the test images: labels (N,) of all rows, and a function that reads the pixels of some."""

    y_N: np.ndarray
    pixels: Callable[[np.ndarray], np.ndarray]


def _stored(half: Half, values: Range) -> Stored:
    def fetch(index_K: np.ndarray) -> Rows:
        return Rows(torch.from_numpy(half.pixels(index_K)), torch.from_numpy(half.y_N[index_K]), values)

    return Stored(torch.arange(len(half.y_N)), fetch, SHAPE, values)


def _python(paths: list[Path]) -> Iterator[Half]:
    for some in (paths[:-1], paths[-1:]):
        batches = [_batch(path) for path in some]
        y_N = np.concatenate([y for _, y in batches])
        yield Half(y_N, _joined([x for x, _ in batches]))


def _joined(parts: list[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda index_K: gather(parts, index_K)


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and labels (N,) of one pickle."""
    with sound(path):
        content = read_pickle(small_content(path))
        if not isinstance(content, dict):
            raise Unfit("no mapping of 'data' and 'labels'")
        named = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in content.items()}
        x, y = named.get("data"), named.get("labels")
        if not isinstance(x, np.ndarray) or x.shape != (BATCH_ROWS, 3_072) or x.dtype != np.uint8:
            raise Unfit(f"'data' is no array of {BATCH_ROWS} x 3072 bytes")
        return x.reshape(-1, *SHAPE), _labels(y, len(x))


def _labels(y, rows: int) -> np.ndarray:
    """Labels (N,) as int64. Raises Unfit that names the first invalid one."""
    y_N = np.asarray(y)
    if y_N.shape != (rows,) or y_N.dtype.kind not in "iu":
        raise Unfit(f"its labels are no {rows} whole numbers")
    wrong_N = (y_N < 0) | (y_N >= CLASSES)
    if wrong_N.any():
        raise Unfit(f"row {wrong_N.argmax()} has label {y_N[wrong_N.argmax()]}, 0 to {CLASSES - 1} expected")
    return y_N.astype(np.int64)


def _parquet(paths: list[Path]) -> Iterator[Half]:
    for path, expected in zip(paths, ROWS["parquet"], strict=True):
        with sound(path):
            file = parquet.ParquetFile(path)
            if file.metadata.num_rows != expected:
                raise Unfit(f"{file.metadata.num_rows} rows, {expected} expected")
            check_memory(unpacked_bytes(file))
            table = file.read()
            half = Half(_labels(table["label"].to_numpy(), expected), _album(path, table))
        yield half


def _album(path: Path, table) -> Callable[[np.ndarray], np.ndarray]:
    """The pixels of a column of pictures: JPEG or PNG bytes, and the names of the files they came from."""
    column = table["image" if "image" in table.column_names else "img"].combine_chunks()
    if str(column.type) != "struct<bytes: binary, path: string>":
        raise Unfit(f"its images are {column.type}, struct<bytes: binary, path: string> expected")
    contents, labels = column.field("bytes"), column.field("path")
    content, label = (lambda row: contents[row].as_py() or b""), (lambda row: labels[row].as_py())
    return Album(path, content, label, SHAPE, of_size(32, 32)).pixels


def _sprites(paths: list[Path]) -> Iterator[Half]:
    for sheets, path, labels in ((paths[:4], paths[4], 50_000), (paths[5:6], paths[6], 10_000)):
        with sound(path):
            y_N = _labels(load_npy(path), labels)[: SHEET_ROWS * len(sheets)]
        yield Half(y_N, _joined_sheets(sheets))


def _joined_sheets(paths: list[Path]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda index_K: gather(map(_sheet, paths), index_K)


def _sheet(path: Path) -> np.ndarray:
    """The images (1,000, 3, 32, 32) of a sprite sheet."""
    with sound(path):
        picture = of_size(32 * 32, SHEET_ROWS)(Image.open(path)).convert("RGB")
        return np.asarray(picture).reshape(SHEET_ROWS, 32, 32, 3).transpose(0, 3, 1, 2)


FORMS: dict[str, Callable[[list[Path]], Iterator[Half]]] = {"python": _python, "parquet": _parquet, "sprites": _sprites}
ROWS = {"python": (50_000, 10_000), "parquet": (50_000, 10_000), "sprites": (4_000, 1_000)}
"""Images of the training and of the test files."""
