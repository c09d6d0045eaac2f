"""MNIST and Fashion-MNIST, from the official files; torchvision downloads those that are absent."""

# Shapes: N rows of a split, images (N, 1, H, W).

from __future__ import annotations

import http.client
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, model_validator

from trainables.common.errors import DataError, one_line
from trainables.common.lazy import F, torch
from trainables.common.records import unwritten
from trainables.data.base import UNIT, Dataset, Facts, Rows, Splits
from trainables.data.formats.idx import find, read_pair
from trainables.data.formats.locate import CURE

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
KNOWN_ROWS, TEST_ROWS = 60_000, 10_000
SIDE = 28  # pixels
CLASSES = 10
AT_ONCE = 10_000  # images that are enlarged together
PATIENCE_S = 30  # torchvision itself has no time-out


class Published(Dataset):
    """The four files of the MNIST family, as published."""

    binary: bool = unwritten(False)
    """Pixels of 128 and above are 255, all others 0: Intel-VAE, Table C.1, has binary images; its code can make them
    so, but its scripts train on grey ones."""

    licence: ClassVar[str] = "none stated by its authors; usually given as CC BY-SA 3.0"
    citation: ClassVar[str] = (
        "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, "
        "Proceedings of the IEEE 86(11), 1998"
    )
    home: ClassVar[str] = "yann.lecun.com/exdb/mnist"
    is_downloaded: ClassVar[bool] = True
    classes: ClassVar[int] = CLASSES
    folder: ClassVar[str] = "MNIST"

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        places = (f"{self.folder}/raw/{name}" for name in TRAIN + TEST)
        return tuple((place, f"{place}.gz") for place in places)

    def _published(self, root: Path) -> tuple[Rows, Rows]:
        """The 60,000 images of the training file, and those of the test file, as this set has them."""
        folder = root / self.folder / "raw"
        fetch_absent(self.folder, folder)
        published = _rows(folder, TRAIN, KNOWN_ROWS), _rows(folder, TEST, TEST_ROWS)
        known, test = (replace(rows, x=self._images(rows.x)) for rows in published)
        return known, test

    def _images(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Published images (N, 1, 28, 28), bytes, as this set has them."""
        return 255 * (x_NCHW >= 128).to(torch.uint8) if self.binary else x_NCHW


class Official(Published):
    """60,000 training images, of which the last are for validation, and 10,000 test images."""

    side: ClassVar[int] = SIDE
    val_from_train: int = Field(10_000, gt=0, lt=KNOWN_ROWS)
    """Number of validation images, the last of the training file: 10,000 in ARD-VAE and VIMAE, 5,000 in Intel-VAE."""

    def known_facts(self) -> Facts:
        return Facts((1, self.side, self.side), UNIT, KNOWN_ROWS - self.val_from_train, self.val_from_train)

    def from_files(self, root: Path) -> Splits:
        known, test = self._published(root)
        train_rows = KNOWN_ROWS - self.val_from_train
        return Splits(known.take(slice(train_rows)), known.take(slice(train_rows, None)), test)


class Mnist(Official):
    """Handwritten digits, 28x28 grey, 10 classes.

    ARD-VAE, VIMAE: 50,000 / 10,000 / 10,000 images, the validation images the last of the training file. Intel-VAE:
    55,000 / 5,000 / 10,000.
    """

    name: Literal["mnist"] = "mnist"

    source: ClassVar[str] = "LeCun et al. 1998, Gradient-based learning applied to document recognition"


class Mnist32(Official):
    """MNIST padded by 2 zeros on each side to 32x32, as ARD-VAE uses it."""

    name: Literal["mnist32"] = "mnist32"

    source: ClassVar[str] = "LeCun et al. 1998; ARD-VAE"
    side: ClassVar[int] = 32

    def _images(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return F.pad(super()._images(x_NCHW), [(self.side - SIDE) // 2] * 4)


class Mnist01(Published):
    """The zeros and ones of MNIST, balanced or in chosen proportions: 10,000 / 1,000 / 1,960 images.

    Of each digit the first 5,000 of the training file train, the next 500 validate, and the first 980 of the test file
    test. Zeros and ones alternate, so that the first rows of a split have the same proportions.
    """

    name: Literal["mnist01"] = "mnist01"
    zeros: NonNegativeInt = 1
    """Number of copies of each zero, in all splits."""
    ones: NonNegativeInt = 1
    """Number of copies of each one, in all splits. Intel-VAE, table 3: zeros to ones 1:1, 2:3, 1:3, 1:4 and 0:1."""

    source: ClassVar[str] = "LeCun et al. 1998; Intel-VAE, tables 3 and C.1"
    classes: ClassVar[int] = 2
    each: ClassVar[tuple[int, int, int]] = (5_000, 500, 980)  # of either digit, to train, validate, test

    @model_validator(mode="after")
    def _some(self) -> Mnist01:
        if self.zeros + self.ones == 0:
            raise ValueError("zeros and ones are both 0, which leaves no images: make one of them 1.")
        return self

    def known_facts(self) -> Facts:
        train, val, _ = self.each
        copies = self.zeros + self.ones
        return Facts((1, SIDE, SIDE), UNIT, copies * train, copies * val)

    def from_files(self, root: Path) -> Splits:
        known, unseen = self._published(root)
        train, val, test = self.each
        parts = (known, 0, train), (known, train, train + val), (unseen, 0, test)
        return Splits(*(_turns(rows, start, stop, self.zeros, self.ones) for rows, start, stop in parts))


class FashionMnist(Official):
    """Articles of clothing, 28x28 grey, 10 classes; sizes and splits as MNIST."""

    name: Literal["fashion_mnist"] = "fashion_mnist"

    source: ClassVar[str] = "Xiao et al. 2017, Fashion-MNIST, arXiv 1708.07747"
    licence: ClassVar[str] = "MIT"
    citation: ClassVar[str] = (
        "Xiao, Rasul, Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, "
        "arXiv 1708.07747, 2017"
    )
    home: ClassVar[str] = "github.com/zalandoresearch/fashion-mnist"
    folder: ClassVar[str] = "FashionMNIST"


class Fashion32(FashionMnist):
    """Fashion-MNIST enlarged to 32x32 by bilinear interpolation, as DD-VAE and its network `dd_fashion` use it.

    DD-VAE's code also clamps values to [1e-6, 1 - 1e-6], which is less than a byte's rounding.
    """

    name: Literal["fashion32"] = "fashion32"

    source: ClassVar[str] = "Xiao et al. 2017; Mathieu et al. 2019, code"
    side: ClassVar[int] = 32

    def _images(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return super()._images(torch.cat([_enlarged(some, self.side) for some in x_NCHW.split(AT_ONCE)]))


def _enlarged(x_NCHW: torch.Tensor, side: int) -> torch.Tensor:
    """Bytes as Pillow's `resize` to squares of this side, a power of two, with its bilinear filter: columns, then rows.

    Weights are integers over 2 * side, so that sums are exact in float32 and rounded alike everywhere, halves upwards.
    """
    whole, new = 2 * side, torch.arange(side)
    centre = ((2 * new + 1) * SIDE - side).clamp(0, whole * (SIDE - 1))  # of new pixels, in units of a pixel / `whole`
    low, share = centre // whole, (centre % whole).float()
    weight = torch.zeros(SIDE, side)
    weight[low, new] += whole - share
    weight[(low + 1).clamp_max(SIDE - 1), new] += share
    x_NCHW = x_NCHW.float()
    for _ in range(2):
        x_NCHW = ((x_NCHW @ weight + side) / whole).floor().mT
    return x_NCHW.to(torch.uint8)


def _rows(folder: Path, names: tuple[str, str], expected: int) -> Rows:
    images, labels = (find(folder, name) for name in names)
    x_NX, y_N = read_pair(images, labels, CLASSES)
    if x_NX.shape != (expected, 1, SIDE, SIDE):
        found = f"{len(x_NX)} images of {x_NX.shape[2]}x{x_NX.shape[3]}"
        raise DataError(f"{images}: {found}, {expected} of {SIDE}x{SIDE} expected: {CURE}.")
    return Rows(x_NX, y_N, UNIT)


def _turns(rows: Rows, start: int, stop: int, zeros: int, ones: int) -> Rows:
    """The zeros and ones number `start` to `stop` of each, alternating: 0, 1, 0, 1 or, copied, 0, 0, 1, 0, 0, 1."""
    zero, one = ((rows.y == digit).nonzero().flatten()[start:stop] for digit in (0, 1))
    places = [zero] * zeros + [one] * ones
    return rows.take(torch.stack(places, dim=1).flatten())


def fetch_absent(name: str, folder: Path) -> None:
    """Downloads the absent ones of the four files. Raises DataError that names the files and where to put them."""
    absent = [file for file in TRAIN + TEST if find(folder, file) is None]
    if not absent:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(name, folder, absent)
    except (RuntimeError, OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{folder}: no {', '.join(absent)} (unpacked or .gz), and the download failed ({one_line(error)}): "
            "put the files there, or name another data root (--data-root or VAEORCH_DATA)."
        ) from error


def _download(name: str, folder: Path, absent: list[str]) -> None:
    """Downloads to a temporary folder, then renames: another process never sees a partial file."""
    import torchvision.datasets  # slow to import, and rarely needed

    with tempfile.TemporaryDirectory(dir=folder) as beside, _patience(PATIENCE_S):
        getattr(torchvision.datasets, name)(beside, download=True)
        for file in absent:
            os.replace(Path(beside) / name / "raw" / f"{file}.gz", folder / f"{file}.gz")


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
