"""Decodes compressed pictures to bytes (C, H, W) in threads: Pillow releases Python's GIL while it decodes."""

# Shapes: K pictures requested, H rows, W columns, C channels.

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainables.common.errors import Unfit
from trainables.common.lazy import Image, np, torch
from trainables.data.base import Attributes, Range, Rows, Stored, progress
from trainables.data.formats.archives import Archive
from trainables.data.formats.locate import CURE, sound

AT_ONCE = 1_024  # pictures that are submitted to the threads together
Filter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
"""How Pillow resizes: all but nearest average over the pixels that fall into one (antialiasing)."""


MODES = {1: "L", 3: "RGB"}
"""Channels -> Pillow's mode."""


@dataclass(frozen=True)
class Album:
    """Compressed pictures by number, decoded to bytes of `shape` (C, H, W).

    `content` returns the compressed bytes of a picture, `label` its name for messages. `look` checks a picture of which
    only the header has been read, and raises Unfit if it must not be decoded. `fit` turns the decoded picture, grey or
    RGB by C, into a picture or array of H x W. `cure` says how to fix a damaged one.
    """

    path: Path
    content: Callable[[int], bytes]
    label: Callable[[int], str]
    shape: tuple[int, int, int]
    look: Callable
    fit: Callable = lambda picture: picture
    cure: str = CURE

    def pixels(self, index: np.ndarray) -> np.ndarray:
        """The pictures `index` (K,) as uint8 (K, C, H, W). Raises DataError with file, row and reason."""
        out_KCHW = np.empty((len(index), *self.shape), np.uint8)
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(index), AT_ONCE):
                some = index[start : start + AT_ONCE]
                for place, pixels in enumerate(pool.map(self._one, some.tolist()), start):
                    out_KCHW[place] = pixels
                progress.report(start + len(some), len(index))
        return out_KCHW

    def stored(
        self,
        rows: int,
        values: Range,
        y_N: np.ndarray | None = None,
        attributes: Attributes | None = None,
        classes: tuple[str, ...] = (),
    ) -> Stored:
        """All pictures as a split, which is decoded when it is read. `classes` are the names of the labels `y_N`."""
        labels = None if y_N is None else torch.from_numpy(y_N)

        def fetch(index_K: np.ndarray) -> Rows:
            y_K = None if labels is None else labels[index_K]
            known = None if attributes is None else attributes[index_K]
            return Rows(torch.from_numpy(self.pixels(index_K)), y_K, values, attributes=known, classes=classes)

        return Stored(torch.arange(rows), fetch, self.shape, values, labels=labels, classes=classes)

    def _one(self, row: int) -> np.ndarray:
        channels, height, width = self.shape
        with sound(self.path, f"row {row} ({self.label(row)})", self.cure):
            picture = self.fit(_decoded(self.content(row), self.look, MODES[channels]))
            return np.asarray(picture).reshape(height, width, channels).transpose(2, 0, 1)


def album(archive: Archive, names: Sequence[str], shape: tuple[int, int, int], look: Callable, **more) -> Album:
    """The files `names` of an archive, numbered in this order. `more` are fields of Album."""
    return Album(archive.path, lambda row: archive.content(names[row]), lambda row: names[row], shape, look, **more)


def of_size(width: int, height: int) -> Callable:
    """A check that returns pictures of this size and raises Unfit for others."""

    def fit(picture):
        if picture.size != (width, height):
            raise Unfit(f"{picture.size[0]}x{picture.size[1]} pixels, {width}x{height} expected")
        return picture

    return fit


def resized(picture, side: int, how: Filter):
    """The picture resized to `side` x `side` pixels."""
    return picture.resize((side, side), Image.Resampling[how.upper()])


def _decoded(content: bytes, look: Callable, mode: str):
    try:
        return look(Image.open(io.BytesIO(content))).convert(mode)
    except Image.UnidentifiedImageError as error:
        raise Unfit("no picture of a known kind") from error
    except Image.DecompressionBombError as error:
        raise Unfit(str(error)) from error
