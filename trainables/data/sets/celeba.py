"""CelebA: faces with 40 attributes. The papers crop, scale and split it differently, so each of these is a field."""

# Shapes: N images of the set, A attributes.

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from trainables.common.errors import Unfit
from trainables.common.lazy import np, torch
from trainables.data.base import SPLITS, Attributes, Facts, Photographs, Splits, Stored, hold_out
from trainables.data.formats.archives import Archive, open_archive
from trainables.data.formats.decoding import Filter, album, of_size, resized
from trainables.data.formats.locate import find_all, sound

SIDE = 64
SHAPE = (3, SIDE, SIDE)
ATTRIBUTES = 40
IMAGES = "img_align_celeba"


class Faces(Photographs):
    """The central square of an aligned face, scaled to 64x64."""

    crop: Literal[140, 148, 178] = 140
    """Side of the square in pixels of the official images: 140 in VIMAE, WAE, ARD-VAE; 148 in Intel-VAE; 178 in VSC."""
    resize: Filter = "lanczos"
    """lanczos in VIMAE and WAE; bicubic (or nearest, with an old Pillow) in Intel-VAE; bilinear in VSC."""

    licence: ClassVar[str] = "CelebA's agreement: non-commercial research"
    citation: ClassVar[str] = "Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015"
    home: ClassVar[str] = "mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    images: ClassVar[int]
    size: ClassVar[tuple[int, int]]
    """Pixels of the images as published, width and height."""

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return (f"celeba/{IMAGES}.zip", f"celeba/{IMAGES}"), ("celeba/list_attr_celeba.txt",)

    def _faces(self, images: Path, listed: Path) -> Stored:
        archive = open_archive(images)
        names = tuple(name for name in archive.names if name.endswith(".jpg"))
        attributes = read_attributes(listed, self.images)
        self._check_names(archive, names)
        pictures = album(archive, names, SHAPE, of_size(*self.size), fit=self._fitted)
        return pictures.stored(self.images, self.range, attributes=attributes)

    def _check_names(self, archive: Archive, names: tuple[str, ...]) -> None:
        expected = [f"{IMAGES}/{number:06}.jpg" for number in range(1, self.images + 1)]
        with sound(archive.path):
            if len(names) != self.images:
                raise Unfit(f"{len(names)} images, {self.images} expected")
            row = next((row for row, pair in enumerate(zip(names, expected, strict=True)) if len(set(pair)) > 1), None)
            if row is not None:
                raise Unfit(f"row {row} is {names[row]}, {expected[row]} expected")

    def _fitted(self, picture):
        """The central square, scaled; half a pixel too far up or left where the margins cannot be equal."""
        width, height = self.size
        side = self.crop * width // 178
        left, top = (width - side) // 2, (height - side) // 2
        return resized(picture.crop((left, top, left + side, top + side)), SIDE, self.resize)


class CelebA(Faces):
    """Faces of celebrities, cropped and scaled to 64x64 colour, with 40 attributes: 202,599 images.

    Files: celeba/img_align_celeba.zip (or unpacked), list_attr_celeba.txt and list_eval_partition.txt. The defaults
    are for comparisons across papers; Intel-VAE: {crop: 148, resize: bicubic}; VIMAE: {signed: true, split: random};
    ARD-VAE: {signed: true, train_rows: 162700, val_rows: 19800}. Its FIDs compare, it seems, with published statistics
    of the whole set in another crop: that is not followed, images compare with a split of this set.
    """

    name: Literal["celeba"] = "celeba"
    split: Literal["official", "random"] = "official"
    """official: 162,770 / 19,867 / 19,962 images; random: a fixed shuffle, the last 20,000 to test as in VIMAE and WAE,
    and the 19,867 before them to validate, which these papers do not have."""

    source: ClassVar[str] = "Liu et al. 2015, Deep learning face attributes in the wild"
    images: ClassVar[int] = 202_599
    size: ClassVar[tuple[int, int]] = (178, 218)
    rows: ClassVar[dict[str, tuple[int, int, int]]] = {
        "official": (162_770, 19_867, 19_962),
        "random": (162_732, 19_867, 20_000),
    }

    def known_facts(self) -> Facts:
        return Facts(SHAPE, self.range, *self.rows[self.split][:2])

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        partition = ("celeba/list_eval_partition.txt",)
        return super().wanted() + ((partition,) if self.split == "official" else ())

    def from_files(self, root: Path) -> Splits:
        images, listed, *partition = find_all(self, root)
        faces = self._faces(images, listed)
        if self.split == "random":
            return hold_out(faces, *self.rows["random"][1:])
        part_N = read_partition(*partition, self.rows["official"])
        return Splits(*(faces.take(torch.from_numpy(np.flatnonzero(part_N == part))) for part in range(len(SPLITS))))


class CelebAHalf(Faces):
    """The first 10,000 faces of CelebA in half size, as JPEG files: 8,000 / 1,000 / 1,000 images by a fixed shuffle.

    A copy for trials and tests: 89x109 images under the names of the official ones. All are official training images.
    """

    name: Literal["celeba_half"] = "celeba_half"

    source: ClassVar[str] = "Liu et al. 2015; the first 10,000 images, halved"
    images: ClassVar[int] = 10_000
    size: ClassVar[tuple[int, int]] = (89, 109)

    def known_facts(self) -> Facts:
        return Facts(SHAPE, self.range, self.images - 2_000, 1_000)

    def from_files(self, root: Path) -> Splits:
        return hold_out(self._faces(*find_all(self, root)), 1_000, 1_000)


def read_attributes(path: Path, images: int) -> Attributes:
    """Reads list_attr_celeba.txt: a count, the names, then a line per image with its file, and -1 or 1 for each name.

    Raises DataError.
    """
    with sound(path):
        count, header, *lines = path.read_text().splitlines()
        names = tuple(header.split())
        if int(count) != images or len(lines) != images or len(set(names)) != ATTRIBUTES:
            raise Unfit(f"{len(lines)} rows of {len(names)} attributes, {images} of {ATTRIBUTES} expected")
        signs_NA = _columns(lines, ATTRIBUTES, ("-1", "1"))
        return Attributes(torch.from_numpy(signs_NA > 0), names)


def read_partition(path: Path, rows: tuple[int, int, int]) -> np.ndarray:
    """Reads list_eval_partition.txt: a line per image with its file, and 0 to train, 1 to validate, 2 to test.

    `rows` is the expected number of each. Raises DataError.
    """
    with sound(path):
        part_N = _columns(path.read_text().splitlines(), 1, ("0", "1", "2"))[:, 0]
        counts = tuple(int((part_N == part).sum()) for part in range(len(SPLITS)))
        if counts != rows:
            raise Unfit(f"{counts} images to train, validate and test, {rows} expected")
        return part_N


def _columns(lines: list[str], count: int, known: tuple[str, ...]) -> np.ndarray:
    """The numbers (N, count) of lines that begin with the file name of their row's image; all must be in `known`."""
    numbers = np.empty((len(lines), count), np.int8)
    for row, line in enumerate(lines):
        name, *words = line.split() or ("nothing",)
        if name != f"{row + 1:06}.jpg" or len(words) != count or not set(words).issubset(known):
            raise Unfit(f"row {row} ({name}) is not {row + 1:06}.jpg and {count} of {', '.join(known)}")
        numbers[row] = words
    return numbers
