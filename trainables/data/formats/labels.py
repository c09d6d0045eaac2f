"""Converts the labels of files to whole numbers, with the names of their classes and notes on them."""

# Shapes: N rows, K classes.

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainables.common.errors import Unfit
from trainables.common.lazy import np
from trainables.data.base import class_name
from trainables.data.formats.hidden import twins

KINDS = "whole numbers, text, or true and false"
SHOWN = 12  # classes listed in a note
FEW = 50  # different fractions, at most, that count as classes, and no more than half as many as there are rows

Labels = tuple["np.ndarray", tuple[str, ...], list[str]]
"""The labels (N,) int64, the names of the classes 0, 1, ... (none where the labels stay as they are), and notes."""


def whole_numbers(y: np.ndarray, rows: int) -> Labels:
    """Labels of any kind. Text, and a few fractions, are numbered in sorted order. Raises Unfit."""
    if y.shape != (rows,):
        raise Unfit(f"y has shape {y.shape}, x has {rows} rows: write one label a row.")
    if y.dtype.kind in "USO":
        return classes(_text(y))
    if y.dtype.kind == "f":
        return _of_floats(y)
    if y.dtype.kind not in "iub":
        raise Unfit(f"y holds {y.dtype}: write {KINDS}.")
    y_N = y.astype(np.int64)
    names = ("false", "true") if y.dtype.kind == "b" else ()
    numbers_K, counts_K = np.unique(y_N, return_counts=True)
    return y_N, names, list(_counted([class_name(names, label) for label in numbers_K], counts_K, "labels"))


def classes(names_N: np.ndarray) -> Labels:
    """Labels that are the index of each name among the sorted distinct names."""
    y_N, names, said = _numbered(names_N, "names")
    if alike := twins(names):
        said.append(f"classes whose names differ in case or spaces alone count as several: {', '.join(alike)}.")
    return y_N, names, said


def printable(text: str) -> str:
    """Text without unprintable characters: names of files, columns and classes may contain any."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _numbered(values_N: np.ndarray, what: str) -> Labels:
    values_K, y_N, counts_K = np.unique(values_N, return_inverse=True, return_counts=True)
    names = tuple(printable(str(value)) for value in values_K)
    return y_N, names, list(_counted(names, counts_K, f"{what} as labels 0, 1, ... in the order of sorting"))


def _text(y: np.ndarray) -> np.ndarray:
    """Labels as text. Raises Unfit for labels that are not text."""
    if y.dtype.kind == "S":
        try:
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise Unfit(f"y holds bytes that are no text in UTF-8: write {KINDS}.") from error
    wrong = next((row for row, label in enumerate(y) if not isinstance(label, str)), None)
    if wrong is not None:
        what = "None" if y[wrong] is None else f"of type {type(y[wrong]).__name__}"
        raise Unfit(f"row {wrong} of y is {what}, which is no text: label every row, with text or numbers.")
    return y.astype(str)


def _of_floats(y: np.ndarray) -> Labels:
    """Whole numbers stay as they are; of other numbers there may be a few, which are classes. Raises Unfit."""
    if not np.isfinite(y).all():
        row = int((~np.isfinite(y)).argmax())
        raise Unfit(f"y holds {y.dtype}, and row {row} {y[row]}: label every row, with {KINDS}.")
    fraction_N = y != np.round(y)
    if not fraction_N.any():
        y_N = y.astype(np.int64)
        told = f"labels are {y.dtype}, and taken as whole numbers, which all of them are."
        return y_N, (), [told, *_counted(*np.unique(y_N, return_counts=True), "labels")]
    count, most = len(np.unique(y)), min(FEW, len(y) // 2)
    if count > most:
        row = int(fraction_N.argmax())
        told = f"y holds {y.dtype}, and row {row} {y[row]}: {count:,} different numbers in {len(y):,} rows"
        raise Unfit(f"{told}, of which at most {most} count as classes: write {KINDS}, or leave y out.")
    return _numbered(y, "numbers")


def _counted(names_K: Sequence, counts_K: np.ndarray, what: str) -> Iterator[str]:
    """A note on how many rows each class has."""
    each = [f"{name} {count:,}" for name, count in zip(names_K[:SHOWN], counts_K.tolist(), strict=False)]
    if len(names_K) > SHOWN:
        each.append(f"... {names_K[-1]} {counts_K[-1]:,}")
    if len(names_K) == 1:
        yield f"all rows are of one class, {names_K[0]}: labels tell nothing."
    else:
        yield f"{len(names_K):,} classes, {what}, with rows: {', '.join(each)}."
