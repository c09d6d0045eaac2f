"""3D Shapes: a coloured object in a coloured room, every combination of six factors."""

# Shapes: N images of the file, K images requested, F factors.

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from trainables.common.errors import Unfit
from trainables.common.lazy import h5py, np
from trainables.data.base.bounds import check_memory
from trainables.data.formats.blocks import BLOCK_BYTES, gather
from trainables.data.formats.locate import find_all, sound
from trainables.data.sets.grids import EveryCombination, Grid

PLACE_BYTES = 32  # memory per label while its index is computed
MOST_CHUNK = 2**30  # bytes
NAMES = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
ENDS = ((0, 0.9), (0, 0.9), (0, 0.9), (0.75, 1.25), (0, 3), (-30, 30))
"""The first and the last value of each factor in the file's labels; the values between are evenly spaced."""


class Shapes3D(EveryCombination):
    """A cube, cylinder, ball or capsule in a room, 64x64 colour, 6 factors: 470,000 / 10,000 images.

    Factors: floor_hue 10, wall_hue 10, object_hue 10, scale 8, shape 4, orientation 15. File: 3dshapes/3dshapes.h5
    (images, labels). A fixed shuffle holds out the validation images. There are no test images.
    """

    name: Literal["shapes3d"] = "shapes3d"
    val_from_train: int = Field(10_000, gt=0, lt=480_000)
    """Number of validation images."""

    source: ClassVar[str] = "Burgess & Kim 2018, 3D Shapes dataset"
    licence: ClassVar[str] = "Apache 2.0"
    citation: ClassVar[str] = "Burgess, Kim: 3D Shapes Dataset, 2018"
    home: ClassVar[str] = "github.com/google-deepmind/3d-shapes"
    grid: ClassVar[Grid] = Grid(NAMES, (10, 10, 10, 8, 4, 15))

    shape: ClassVar[tuple[int, int, int]] = (3, 64, 64)
    from_front: ClassVar[bool] = True

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return (("3dshapes/3dshapes.h5",),)

    def _pixels(self, root: Path) -> Callable[[np.ndarray], np.ndarray]:
        [path], expected = find_all(self, root), (self.grid.rows, 64, 64, 3)
        with sound(path), h5py.File(path) as file:
            labels, images = file["labels"], file["images"]
            check_memory(PLACE_BYTES * labels.size)
            self.grid.check(_places(labels[:], self.grid.sizes))
            if images.shape != expected or images.dtype != np.uint8:
                raise Unfit(f"images {images.shape} of {images.dtype}, {expected} of uint8 expected")
            if math.prod(images.chunks or ()) > MOST_CHUNK:
                raise Unfit(f"images in pieces of {images.chunks}, which are unpacked whole")
        return lambda index_K: gather(_blocks(path), index_K)


def _places(labels_NF: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Each label's index among the values of its factor, -1 where it is none of them."""
    if labels_NF.ndim != 2 or labels_NF.shape[1] != len(sizes):
        raise Unfit(f"labels of shape {labels_NF.shape}, {len(sizes)} columns expected")
    low_F, high_F = np.array(ENDS, float).T
    place_NF = (labels_NF - low_F) / (high_F - low_F) * (np.array(sizes) - 1)
    near_NF = np.isclose(place_NF, place_NF.round(), atol=1e-3)
    return np.where(near_NF, place_NF.round(), -1).astype(np.int64)


def _blocks(path: Path) -> Iterator[np.ndarray]:
    """The images in blocks, (rows, C, H, W)."""
    with sound(path), h5py.File(path) as file:
        images = file["images"]
        step = BLOCK_BYTES // (64 * 64 * 3)
        for start in range(0, len(images), step):
            yield images[start : start + step].transpose(0, 3, 1, 2)
