"""The classes that all of data/ uses: the rows and splits of a set, and Dataset, the record of every data set.

`rows.py` has the rows, `dataset.py` the record; `bounds.py` refuses files that would need too much memory,
`progress.py` reports the progress of reading. Other packages import the names below from here.
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
    class_name,
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
    "class_name",
    "digest",
    "hold_out",
    "shuffled",
]
