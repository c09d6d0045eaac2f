"""Data sets whose facts are known, so that specs on them can be checked, but that this version cannot load."""

from pathlib import Path
from typing import ClassVar, Literal

from trainables.data.base import UNIT, DataError, Dataset, Facts, Splits
from trainables.records import name_of


class Unready(Dataset):
    """Facts without a loader."""

    known: ClassVar[Facts]

    def _facts(self, root: Path) -> Facts:
        return self.known

    def _read(self, root: Path) -> Splits:
        from trainables.data import DATASETS  # the table imports this file

        ready = ", ".join(name_of(dataset) for dataset in DATASETS if not issubclass(dataset, Unready))
        raise DataError(f"{self.name} cannot be loaded by this version; data sets that can: {ready}.", "name")


class ImageNet32(Unready):
    """Photographs of 1,000 classes, 32x32 colour. Not loadable yet.

    10,000 of the training images are held out to validate.
    """

    name: Literal["imagenet32"] = "imagenet32"

    source: ClassVar[str] = "Chrabaszcz et al. 2017, A downsampled variant of ImageNet, arXiv 1707.08819"
    licence: ClassVar[str] = "ImageNet's terms: non-commercial research"
    known: ClassVar[Facts] = Facts((3, 32, 32), UNIT, 1_281_167 - 10_000, 10_000)


class CelebA(Unready):
    """Faces of celebrities, cropped and scaled to 64x64 colour. Not loadable yet.

    The official split into training and validation images.
    """

    name: Literal["celeba"] = "celeba"

    source: ClassVar[str] = "Liu et al. 2015, Deep learning face attributes in the wild"
    licence: ClassVar[str] = "CelebA's agreement: non-commercial research"
    known: ClassVar[Facts] = Facts((3, 64, 64), UNIT, 162_770, 19_867)
