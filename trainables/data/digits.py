"""The handwritten digits that come with scikit-learn: nothing to download."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch

from trainables.data.base import UNIT, Dataset, Facts, Rows, Splits, hold_out

TRAIN_ROWS, VAL_ROWS = 1_500, 297
INK = 16  # the darkest value of the file


class Digits(Dataset):
    """Handwritten digits, 8x8 grey, 10 classes, bundled with scikit-learn: 1,500 / 297 images.

    The values 0..16 are spread over the bytes 0..255; the split is a fixed shuffle. There are no test images.
    """

    name: Literal["digits"] = "digits"

    source: ClassVar[str] = "Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), by scikit-learn"
    licence: ClassVar[str] = "CC BY 4.0"

    def _facts(self, root: Path) -> Facts:
        return Facts((1, 8, 8), UNIT, TRAIN_ROWS, VAL_ROWS)

    def _read(self, root: Path) -> Splits:
        from sklearn.datasets import load_digits  # slow to import, and needed here alone

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / INK)).astype(np.uint8)[:, None]
        return hold_out(Rows(torch.from_numpy(images), torch.from_numpy(bunch.target.astype(np.int64)), UNIT), VAL_ROWS)
