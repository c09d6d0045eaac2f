"""The Frey faces: frames of a film of one man's face."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from trainables.common.errors import Unfit
from trainables.common.lazy import np, torch
from trainables.data.base import UNIT, Dataset, Facts, Rows, Splits, hold_out
from trainables.data.formats.blocks import load_npy
from trainables.data.formats.locate import find_all, sound

ROWS, HEIGHT, WIDTH = 1_965, 28, 20
VAL_ROWS, TEST_ROWS = 200, 200


class Frey(Dataset):
    """One man's face in the frames of a film, 28x20 grey: 1,565 / 200 / 200 images by a fixed shuffle.

    File: freyfaces/freyfaces.npy, (1965, 28, 20) uint8. Neighbouring frames are similar, so the splits are not
    independent.
    """

    name: Literal["frey"] = "frey"

    source: ClassVar[str] = "B. Frey, by S. Roweis; split sizes of Tomczak & Welling 2018"
    licence: ClassVar[str] = "none stated"
    citation: ClassVar[str] = "Roweis, Saul, Hinton: Global Coordination of Local Linear Models, NIPS 2001"
    home: ClassVar[str] = "cs.nyu.edu/~roweis/data.html"

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return (("freyfaces/freyfaces.npy",),)

    def known_facts(self) -> Facts:
        return Facts((1, HEIGHT, WIDTH), UNIT, ROWS - VAL_ROWS - TEST_ROWS, VAL_ROWS)

    def from_files(self, root: Path) -> Splits:
        [path] = find_all(self, root)
        with sound(path):
            x_NHW = load_npy(path)
            if x_NHW.shape != (ROWS, HEIGHT, WIDTH) or x_NHW.dtype != np.uint8:
                raise Unfit(f"{x_NHW.shape} of {x_NHW.dtype}, {(ROWS, HEIGHT, WIDTH)} of uint8 expected")
        return hold_out(Rows(torch.from_numpy(x_NHW[:, None]), None, UNIT), VAL_ROWS, TEST_ROWS)
