"""Tiny ImageNet: 200 classes of ImageNet in 64x64 pixels, from its zip file or the folder that it unpacks to."""

# Shapes: N images of a split.

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from trainables.common.errors import Unfit
from trainables.common.lazy import np
from trainables.data.base import Facts, Photographs, Splits, Stored, shuffled
from trainables.data.formats.archives import Archive, open_archive
from trainables.data.formats.decoding import album, of_size
from trainables.data.formats.locate import find_all, sound

SHAPE = (3, 64, 64)
CLASSES = 200
VAL_ROWS = 10_000
TOP = "tiny-imagenet-200"
PER_CLASS = {"official": 500, "subset": 40}


class TinyImageNet(Photographs):
    """Photographs of 200 classes, 64x64 colour: 100,000 / 10,000 / 10,000 images; the test images have no labels.

    Files: tiny-imagenet-200.zip, the official one, or unpacked; `files: subset` uses tiny-imagenet-200-subset.zip,
    with 40 training images of each class, the same validation images and no test images. Grey pictures become colour.
    The classes are numbered in the order of their WordNet names; a fixed shuffle mixes the training images.
    """

    name: Literal["tiny_imagenet"] = "tiny_imagenet"
    files: Literal["official", "subset"] = "official"
    """Which archive: the official one, or the one with 40 training images of each class."""

    source: ClassVar[str] = "Le & Yang 2015, Tiny ImageNet visual recognition challenge (Stanford CS 231N)"
    licence: ClassVar[str] = "none stated; ImageNet's terms: non-commercial research"
    citation: ClassVar[str] = "Le, Yang: Tiny ImageNet Visual Recognition Challenge, Stanford CS 231N, 2015"
    home: ClassVar[str] = "cs231n.stanford.edu/tiny-imagenet-200.zip"
    classes: ClassVar[int] = CLASSES

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return (({"official": f"{TOP}.zip", "subset": f"{TOP}-subset.zip"}[self.files], TOP),)

    def known_facts(self) -> Facts:
        return Facts(SHAPE, self.range, CLASSES * PER_CLASS[self.files], VAL_ROWS)

    def from_files(self, root: Path) -> Splits:
        archive = open_archive(*find_all(self, root))
        classes = tuple(sorted(archive.text(f"{TOP}/wnids.txt")))
        train = self._stored(archive, *_train(archive, classes, PER_CLASS[self.files]))
        val = self._stored(archive, *read_val(archive, classes))
        test = tuple(name for name in archive.names if name.startswith(f"{TOP}/test/images/"))
        few = self.files == "official" and len(test) != VAL_ROWS
        notes = (f"{len(test):,} images to test, {VAL_ROWS:,} were published.",) if few else ()
        return Splits(shuffled(train), val, self._stored(archive, test, None) if test else None, notes)

    def _stored(self, archive: Archive, names: tuple[str, ...], y_N: np.ndarray | None) -> Stored:
        return album(archive, names, SHAPE, of_size(64, 64)).stored(len(names), self.range, y_N)


def _train(archive: Archive, classes: tuple[str, ...], each: int) -> tuple[tuple[str, ...], np.ndarray]:
    """The names and labels (N,) of train/CLASS/images/CLASS_NUMBER.JPEG."""
    names = tuple(name for name in archive.names if name.startswith(f"{TOP}/train/") and name.endswith(".JPEG"))
    found = [name.split("/")[2] for name in names]
    with sound(archive.path):
        if found != [name for name in classes for _ in range(each)]:
            counts = {name: found.count(name) for name in sorted({*classes, *found})}
            name = next((name for name in counts if counts[name] != each or name not in classes), None)
            raise Unfit(f"{counts[name]} training images of class {name}, {each} of each class of wnids.txt expected")
    return names, np.repeat(np.arange(len(classes)), each)


def read_val(archive: Archive, classes: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """The names and labels (N,) of val/val_annotations.txt, a line per image: its file, its class, a box.

    Raises DataError.
    """
    number, there = {name: place for place, name in enumerate(classes)}, set(archive.names)
    rows = [line.split("\t") for line in archive.text(f"{TOP}/val/val_annotations.txt")]
    with sound(archive.path, "val_annotations.txt"):
        if len(rows) != VAL_ROWS:
            raise Unfit(f"{len(rows)} rows, {VAL_ROWS} expected")
        for row, words in enumerate(rows):
            if len(words) < 2 or words[1] not in number or f"{TOP}/val/images/{words[0]}" not in there:
                raise Unfit(f"row {row} ({' '.join(words[:2])}) names no file that is there, or no class of wnids.txt")
    return tuple(f"{TOP}/val/images/{words[0]}" for words in rows), np.array([number[words[1]] for words in rows])
