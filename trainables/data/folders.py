"""A folder of pictures, or one folder of pictures for each class."""

# Shapes: N pictures.

from __future__ import annotations

from pathlib import Path

from trainables.data.archives import Archive, open_archive
from trainables.data.base import UNIT, Stored, Unfit, one_line
from trainables.data.decoding import album, of_size
from trainables.data.places import DAMAGED
from trainables.late import Image, np

CURE = "mend or remove it"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
GREY, COLOUR = ("1", "L"), ("RGB", "P", "YCbCr", "CMYK")
"""Pillow's modes that are read as one channel of bytes, and those that are read as three."""


def pictures(folder: Path) -> Stored:
    """The pictures in the order of their names, grey where all are. Raises Unfit that names the first wrong one.

    Sizes and colours are told by the files' heads: the pictures themselves are decoded when they are read.
    """
    if not folder.is_dir():
        raise Unfit("there is no such folder: mend the path.")
    archive = open_archive(folder)
    names = [name for name in archive.names if name.lower().endswith(SUFFIXES)]
    if len(names) < 2:
        raise Unfit(f"{len(names)} pictures ({', '.join(SUFFIXES)}): one to train on and one to validate are needed.")
    y_N, shape = _labels(names), _shape(archive, names)
    return album(archive, names, shape, of_size(shape[2], shape[1]), CURE).stored(len(names), UNIT, y_N)


def _shape(archive: Archive, names: list[str]) -> tuple[int, int, int]:
    """(C, H, W) of all pictures."""
    heads = [_head(archive, name) for name in names]
    (width, height), _ = heads[0]
    for name, (size, _) in zip(names, heads, strict=True):
        if size != (width, height):
            told = f"{_inner(name)} has {size[0]}x{size[1]} pixels, {_inner(names[0])} {width}x{height}"
            raise Unfit(f"{told}: make all equally large.")
    return 1 if all(mode in GREY for _, mode in heads) else 3, height, width


def _labels(names: list[str]) -> np.ndarray | None:
    """(N,) by the order of the classes' folders; None where there are none."""
    folders = [name.split("/")[1:-1] for name in names]
    odd = next((place for place, steps in enumerate(folders) if len(steps) != len(folders[0]) or len(steps) > 1), None)
    if odd is not None:
        raise Unfit(f"{_inner(names[odd])}: put all pictures into the folder itself, or all into folders of classes.")
    if not folders[0]:
        return None
    return np.unique([steps[0] for steps in folders], return_inverse=True)[1]


def _head(archive: Archive, name: str) -> tuple[tuple[int, int], str]:
    """Size and mode, without decoding."""
    try:
        with Image.open(archive.path.parent / name) as picture:
            size, mode, flags = picture.size, picture.mode, picture.info
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise Unfit(f"{_inner(name)} is no sound picture ({one_line(error)}): {CURE}.") from error
    if mode not in GREY + COLOUR or "transparency" in flags:
        what = "transparency" if "transparency" in flags or mode.endswith("A") else f"Pillow's mode {mode}"
        raise Unfit(f"{_inner(name)} has {what}: write 8-bit grey or colour without transparency.")
    return size, mode


def _inner(name: str) -> str:
    return name.partition("/")[2]
