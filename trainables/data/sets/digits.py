"""The handwritten digits that come with scikit-learn: nothing to download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from trainables.common.lazy import np, torch
from trainables.data.base import UNIT, Dataset, Facts, Rows, Splits, hold_out

TRAIN_ROWS, VAL_ROWS = 1_500, 297
INK = 16  # the darkest value of the file


class Digits(Dataset):
    """Handwritten digits, 8x8 grey, 10 classes, bundled with scikit-learn: 1,500 / 297 images.

    The values 0..16 are scaled to bytes 0..255; the split is a fixed shuffle. There are no test images.
    """

    name: Literal["digits"] = "digits"

    source: ClassVar[str] = "Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), by scikit-learn"
    licence: ClassVar[str] = "CC BY 4.0"
    classes: ClassVar[int] = 10
    citation: ClassVar[str] = (
        "Alpaydin, Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998"
    )

    def known_facts(self) -> Facts:
        return Facts((1, 8, 8), UNIT, TRAIN_ROWS, VAL_ROWS)

    def from_files(self, root: Path) -> Splits:
        table = np.loadtxt(bundled(), delimiter=",", dtype=np.int64)  # a row: 64 values and the digit
        images = np.rint(table[:, :-1] * (255 / INK)).astype(np.uint8).reshape(-1, 1, 8, 8)
        return hold_out(Rows(torch.from_numpy(images), torch.from_numpy(table[:, -1]), UNIT), VAL_ROWS)


def bundled() -> Path:
    """The file in scikit-learn's package, whose loader takes seconds to import."""
    [package] = find_spec("sklearn").submodule_search_locations
    return Path(package) / "datasets" / "data" / "digits.csv.gz"
