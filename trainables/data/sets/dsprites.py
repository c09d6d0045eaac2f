"""dSprites: white shapes on black, every combination of five factors."""

# Shapes: N images of the file, K images requested, F factors.

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from trainables.common.errors import Unfit
from trainables.common.lazy import np
from trainables.data.formats.blocks import Npz, gather
from trainables.data.formats.locate import find_all, sound
from trainables.data.sets.grids import EveryCombination, Grid

FILE = "dsprites/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"


class DSprites(EveryCombination):
    """White squares, ellipses and hearts, 64x64 black and white, 5 factors: 727,280 / 10,000 images.

    Factors: shape 3, scale 6, orientation 40, pos_x 32, pos_y 32; the file's constant colour is left out. A fixed
    shuffle holds out the validation images. There are no test images.
    """

    name: Literal["dsprites"] = "dsprites"
    val_from_train: int = Field(10_000, gt=0, lt=737_280)
    """Number of validation images."""

    source: ClassVar[str] = "Matthey et al. 2017, dSprites: disentanglement testing sprites dataset"
    licence: ClassVar[str] = "Apache 2.0"
    citation: ClassVar[str] = (
        "Matthey, Higgins, Hassabis, Lerchner: dSprites: Disentanglement testing Sprites dataset, 2017"
    )
    home: ClassVar[str] = "github.com/google-deepmind/dsprites-dataset"
    grid: ClassVar[Grid] = Grid(("shape", "scale", "orientation", "pos_x", "pos_y"), (3, 6, 40, 32, 32))

    shape: ClassVar[tuple[int, int, int]] = (1, 64, 64)
    from_front: ClassVar[bool] = True

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return ((FILE,),)

    def _pixels(self, root: Path) -> Callable[[np.ndarray], np.ndarray]:
        file = Npz(*find_all(self, root))
        classes_NF, shape = file.array("latents_classes"), file.shape("imgs")
        with sound(file.path):
            self.grid.check(classes_NF[:, 1:])
            if shape != (self.grid.rows, *self.shape[1:]):
                raise Unfit(f"images {shape}, {(self.grid.rows, *self.shape[1:])} expected")
        return lambda index_K: gather(_black_and_white(file), index_K)[:, None]


def _black_and_white(file: Npz) -> Iterator[np.ndarray]:
    """The images in blocks, with 0 and 1 as bytes 0 and 255."""
    start = 0
    for block in file.bytes_of("imgs"):
        if block.max() > 1:
            row = int((block > 1).any(axis=(1, 2)).argmax())
            with sound(file.path):
                raise Unfit(f"row {start + row} holds {block[row].max()}, 0 and 1 expected")
        start += len(block)
        yield block * np.uint8(255)
