"""ImageNet in 32x32 pixels, from the published batches of arrays."""

# Shapes: N images of the files, K images requested.

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from trainables.common.errors import Unfit
from trainables.common.lazy import np, torch
from trainables.data.base import Facts, Photographs, Rows, Splits, Stored, hold_out
from trainables.data.formats.blocks import Npz, gather
from trainables.data.formats.locate import find_all, sound

SHAPE = (3, 32, 32)
CLASSES = 1_000
NAMES = (*(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val_data.npz")


class ImageNet32(Photographs):
    """Photographs of 1,000 classes, 32x32 colour, scaled by the mean of boxes: 1,271,167 / 10,000 / 50,000 images.

    Files: imagenet32/train_data_batch_1.npz to 10 and val_data.npz (keys data, labels). A fixed shuffle chooses the
    validation images among the training images; the published validation images are the test images.
    """

    name: Literal["imagenet32"] = "imagenet32"
    val_from_train: int = Field(10_000, gt=0, lt=1_281_167)
    """Number of training images for validation. ARD-VAE does not state its own."""

    source: ClassVar[str] = "Chrabaszcz et al. 2017, A downsampled variant of ImageNet, arXiv 1707.08819"
    licence: ClassVar[str] = "ImageNet's terms: non-commercial research"
    citation: ClassVar[str] = (
        "Chrabaszcz, Loshchilov, Hutter: A Downsampled Variant of ImageNet as an Alternative to the CIFAR datasets, "
        "arXiv 1707.08819, 2017"
    )
    home: ClassVar[str] = "image-net.org/download-images"
    classes: ClassVar[int] = CLASSES
    images: ClassVar[tuple[int, int]] = (1_281_167, 50_000)
    """Numbers of images of the training files and of the validation file."""

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return tuple((f"imagenet32/{name}",) for name in NAMES)

    def known_facts(self) -> Facts:
        return Facts(SHAPE, self.range, self.images[0] - self.val_from_train, self.val_from_train)

    def from_files(self, root: Path) -> Splits:
        *train, val = (Npz(path) for path in find_all(self, root))
        known, test = (self._joined(files, rows) for files, rows in zip((train, [val]), self.images, strict=True))
        held = hold_out(known, self.val_from_train)
        return Splits(held.train, held.val, test)

    def _joined(self, files: list[Npz], rows: int) -> Stored:
        y_N, values = np.concatenate([_labels(file) for file in files]), self.range
        with sound(files[-1].path):
            if len(y_N) != rows:
                raise Unfit(f"{len(y_N)} images up to this file, {rows} expected")

        def fetch(index_K: np.ndarray) -> Rows:
            x_K = gather(chain.from_iterable(file.bytes_of("data") for file in files), index_K)
            return Rows(torch.from_numpy(x_K.reshape(-1, *SHAPE)), torch.from_numpy(y_N[index_K]), values)

        return Stored(torch.arange(rows), fetch, SHAPE, values, from_front=True)


def _labels(file: Npz) -> np.ndarray:
    """Labels (N,) from 0; in the file they start from 1."""
    y_N, shape = file.array("labels"), file.shape("data")
    with sound(file.path):
        if y_N.ndim != 1 or y_N.dtype.kind not in "iu" or shape != (len(y_N), 3_072):
            raise Unfit(f"{shape} data for {y_N.shape} labels of {y_N.dtype}, (N, 3072) for N whole numbers expected")
        wrong_N = (y_N < 1) | (y_N > CLASSES)
        if wrong_N.any():
            raise Unfit(f"row {wrong_N.argmax()} has label {y_N[wrong_N.argmax()]}, 1 to {CLASSES} expected")
    return y_N.astype(np.int64) - 1
