"""What all of data/ stands on: the rows and splits of a set, and the record that every data set is.

`rows.py` has the rows, `dataset.py` the record; `bounds.py` refuses files that would take too much, `progress.py` tells
how far the reading has come. Other packages take the names below from here.
"""

from trainables.data.base.dataset import Dataset, Photographs
from trainables.data.base.rows import (
    SIGNED,
    SPLITS,
    UNIT,
    Attributes,
    Column,
    Factors,
    Facts,
    Part,
    Range,
    Rows,
    Split,
    Splits,
    Stored,
    chunks,
    digest,
    hold_out,
    shuffled,
)

__all__ = [
    "SIGNED",
    "SPLITS",
    "UNIT",
    "Attributes",
    "Column",
    "Dataset",
    "Factors",
    "Facts",
    "Part",
    "Photographs",
    "Range",
    "Rows",
    "Split",
    "Splits",
    "Stored",
    "chunks",
    "digest",
    "hold_out",
    "shuffled",
]
