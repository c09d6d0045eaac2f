"""Reads a folder of pictures, or a folder with one subfolder of pictures per class."""

# Shapes: N pictures.

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.common.errors import Unfit, one_line
from trainables.common.lazy import Image, ImageOps, np
from trainables.data.base import UNIT, Stored, progress
from trainables.data.formats.archives import Archive, open_archive
from trainables.data.formats.decoding import AT_ONCE, album, of_size
from trainables.data.formats.framing import Framing, Size, Unframable, shown
from trainables.data.formats.hidden import kinds
from trainables.data.formats.labels import classes
from trainables.data.formats.locate import DAMAGED

CURE = "mend or remove it"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
GREY, COLOUR = ("1", "L"), ("RGB", "P", "YCbCr", "CMYK")
"""Pillow's modes that are read as one channel of bytes, and those that are read as three."""
ORIENTATION, UPRIGHT, SIDEWAYS = 0x0112, 1, (5, 6, 7, 8)  # EXIF's tag, and its values that swap width and height


AS_THEY_ARE = Framing()


@dataclass(frozen=True)
class Head:
    """What a picture's header says: height and width as shown, Pillow's mode, and what needs a note."""

    size: Size
    mode: str
    turned: bool  # by its EXIF orientation
    deep: bool  # 16 bits per channel
    moving: bool  # several frames


def pictures(folder: Path, framing: Framing = AS_THEY_ARE, least: int = 2) -> tuple[Stored, tuple[str, ...]]:
    """The pictures in the order of their names, grey if all are, and notes. Raises Unfit at the first invalid one.

    Unless `framing` makes them equally large, they must be.

    Sizes and modes come from the files' headers; the pictures are decoded when the split is read.
    """
    if not folder.is_dir():
        raise Unfit("there is no such folder: mend the path.")
    archive = open_archive(folder)
    names = [name for name in archive.names if name.lower().endswith(SUFFIXES)]
    if len(names) < least:
        need = "one to train on and one to validate are" if least == 2 else f"{least} is"
        raise Unfit(f"{len(names)} pictures ({', '.join(SUFFIXES)}): {need} needed.")
    steps_N = _classes(names)
    heads = list(_heads(archive, names))
    size = _size(names, heads, framing)
    channels = 1 if all(head.mode in GREY for head in heads) else 3
    y_N, known, said = (None, (), []) if steps_N is None else classes(np.array(steps_N))
    look = _upright(None if framing.asked else size)
    pages = album(archive, names, (channels, *size), look, fit=framing.of_picture, cure=CURE)
    found = pages.stored(len(names), UNIT, y_N, classes=known)
    notes = *_left(archive, names), *_empty(archive, steps_N), *said, *_odd(heads, channels)
    return found, (*notes, *_stretched(heads, framing))


def _size(names: list[str], heads: list[Head], framing: Framing) -> Size:
    """The size that all pictures get. Raises Unfit for the first that gets another, or is smaller than the crop."""
    sizes = {}
    for name, head in zip(names, heads, strict=True):
        try:
            sizes.setdefault(framing.size(head.size), (name, head.size))
        except Unframable as error:
            raise Unframable(f"{_inner(name)}: {error}", error.field) from error
        if len(sizes) > 1:
            first, other = ((_inner(name), shown(size[::-1])) for name, size in sizes.values())
            told = f"{other[0]} has {other[1]} pixels, {first[0]} {first[1]}"
            raise Unfit(f"{told}: make all equally large, or name the size that they get by 'resize' or 'crop'.")
    return next(iter(sizes))


def _classes(names: list[str]) -> list[str] | None:
    """The class folder of each picture; None without class folders."""
    folders = [name.split("/")[1:-1] for name in names]
    odd = next((place for place, steps in enumerate(folders) if len(steps) != len(folders[0]) or len(steps) > 1), None)
    if odd is not None:
        raise Unfit(f"{_inner(names[odd])}: put all pictures into the folder itself, or all into folders of classes.")
    return [steps[0] for steps in folders] if folders[0] else None


def _heads(archive: Archive, names: list[str]) -> Iterator[Head]:
    for done, name in enumerate(names, start=1):
        yield _head(archive, name)
        if done % AT_ONCE == 0:
            progress.report(done, len(names))


def _head(archive: Archive, name: str) -> Head:
    """A picture's header, without decoding. Raises Unfit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(archive.path.parent / name) as picture:
                head, flags = _read(picture), picture.info
    except (*DAMAGED, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unfit(f"{_inner(name)} is no sound picture ({one_line(error)}): {CURE}.") from error
    if head.mode not in GREY + COLOUR or "transparency" in flags:
        what = "transparency" if "transparency" in flags or head.mode.endswith("A") else f"Pillow's mode {head.mode}"
        raise Unfit(f"{_inner(name)} has {what}: write 8-bit grey or colour without transparency.")
    return head


def _read(picture) -> Head:
    turn, (width, height) = _turn(picture), picture.size
    size = (width, height) if turn in SIDEWAYS else (height, width)
    deep = any(";16" in str(tile.args) for tile in picture.tile)
    return Head(size, picture.mode, turn != UPRIGHT, deep, _moving(picture))


def _turn(picture) -> int:
    """EXIF's orientation; that of TIFF files is ignored, as Pillow applies it itself."""
    try:
        turn = UPRIGHT if picture.format == "TIFF" else picture.getexif().get(ORIENTATION, UPRIGHT)
    except (*DAMAGED, struct.error):  # only the EXIF data are damaged
        return UPRIGHT
    return turn if turn in range(1, 9) else UPRIGHT


def _moving(picture) -> bool:
    """Whether there is more than one frame."""
    try:
        return getattr(picture, "is_animated", False)
    except DAMAGED:  # data after the first frame are damaged
        return True


def _upright(size: Size | None) -> Callable:
    """A function that checks a picture's size, if one is given, and turns it by its EXIF orientation, as viewers do."""

    def look(picture):
        turn = _turn(picture)
        if size:
            of_size(*(size if turn in SIDEWAYS else reversed(size)))(picture)
        return picture if turn == UPRIGHT else ImageOps.exif_transpose(picture)

    return look


def _left(archive: Archive, names: list[str]) -> Iterator[str]:
    """Notes on how many files were left out, and why."""
    taken = set(names)
    others = [name for name in archive.names if name not in taken]
    found = [kinds(others)] if others else []
    found += [f"{count:,} {reason}" for reason, count in archive.left.items() if count and "folder" not in reason]
    files = len(archive.names) + sum(count for reason, count in archive.left.items() if "folder" not in reason)
    if found:
        yield f"{files - len(names):,} files of {files:,} were left out: {', '.join(found)}."
    if archive.left["linked folder"]:
        yield f"{archive.left['linked folder']:,} folders were left out, as they are links: name folders themselves."


def _empty(archive: Archive, steps_N: list[str] | None) -> Iterator[str]:
    """A note on folders without pictures, which make no class."""
    empty = sorted({name.split("/")[0] for name in archive.folders if name} - set(steps_N or ()))
    if empty:
        yield f"{len(empty):,} folders without pictures make no class: {', '.join(empty)}."


def _odd(heads: list[Head], channels: int) -> Iterator[str]:
    """Notes on pictures that are converted when they are read."""
    modes = Counter(head.mode for head in heads)
    of = f"of {len(heads):,} pictures"
    greys = sum(modes[mode] for mode in GREY)
    if channels == 3 and greys:
        yield f"{greys:,} {of} are grey and are read as colour, like the others."
    if modes["P"]:
        yield f"{modes['P']:,} {of} have a palette and are read as colour."
    if modes["YCbCr"] + modes["CMYK"]:
        yield f"{modes['YCbCr'] + modes['CMYK']:,} {of} are YCbCr or CMYK and are read as RGB."
    for flag, what in (
        ("turned", "are turned as their EXIF says"),
        ("deep", "have 16 bits a channel and are read with 8"),
        ("moving", "have several frames, of which the first is read"),
    ):
        if count := sum(getattr(head, flag) for head in heads):
            yield f"{count:,} {of} {what}."


def _stretched(heads: list[Head], framing: Framing) -> Iterator[str]:
    """A note on pictures that lose their proportions."""
    if count := sum(framing.stretches(head.size) for head in heads):
        told = f"{count:,} of {len(heads):,} pictures have other proportions than {shown(framing.resize)}"
        yield f"{told} and are stretched: 'crop' leaves proportions as they are."


def _inner(name: str) -> str:
    return name.partition("/")[2]
