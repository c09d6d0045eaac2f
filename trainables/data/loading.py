"""Opens data sets: a prepared set if there is one, fetched from a bucket if needed, otherwise the set's own files.

`load_splits` is what training uses; `read_facts` and `open_splits` read as little as they can.
"""

from __future__ import annotations

from dataclasses import replace

from trainables.common.errors import DataError
from trainables.common.lazy import LazyModule
from trainables.common.roots import Root, data_root, in_bucket
from trainables.data.base import Dataset, Facts, Splits
from trainables.data.prepared import index_file
from trainables.data.remote import fetch

mapped = LazyModule("trainables.data.prepared.mapped")


def read_facts(dataset: Dataset, root: Root = None) -> Facts:
    """Shape, range and sizes; reads files only where these are not known without them. Raises DataError."""
    whole = dataset.known_facts() or open_whole(dataset, root).facts()
    rows = {field: _rows_asked(dataset, field, getattr(whole, field)) for field in ("train_rows", "val_rows")}
    return replace(whole, **rows)


def load_splits(dataset: Dataset, root: Root = None) -> Splits:
    """The splits in memory, or in mapped files where the set is prepared. Raises DataError."""
    return open_splits(dataset, root).read()


def open_splits(dataset: Dataset, root: Root = None) -> Splits:
    """The splits of the set below `root` (None: the user's cache); rows are read when they are needed.

    Uses the prepared set instead of the files if there is one; one in a bucket is fetched first, once for all processes
    of this machine. Raises DataError where a file is missing or invalid.
    """
    whole = open_whole(dataset, root)
    train = whole.train.take(slice(_rows_asked(dataset, "train_rows", len(whole.train))))
    val = whole.val.take(slice(_rows_asked(dataset, "val_rows", len(whole.val))))
    return Splits(train, val, whole.test, whole.notes)


def open_whole(dataset: Dataset, root: Root = None) -> Splits:
    """The whole set, without the limits `train_rows` and `val_rows`, likewise. Raises DataError."""
    root = data_root(root)
    if in_bucket(root):
        folder, root = fetch.folder_of(dataset, root), data_root(None)
    else:
        folder = index_file.folder_of(dataset, root)
    there = folder is not None and (folder / index_file.INDEX).exists()
    return mapped.open_set(dataset, folder) if there else dataset.from_files(root)


def _rows_asked(dataset: Dataset, field: str, there: int) -> int:
    asked = getattr(dataset, field)
    if asked is not None and asked > there:
        raise DataError(f"{asked} rows asked for, but {dataset.name} has {there}: ask for at most {there}.", field)
    return asked or there
