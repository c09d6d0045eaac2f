"""Converts the labels of files, whole numbers or text, to whole numbers, with notes on their classes."""

# Shapes: N rows, K classes.

from __future__ import annotations

from trainables.common.errors import Unfit
from trainables.common.lazy import np
from trainables.data.formats.hidden import twins

SHOWN = 12  # classes listed in a note


def whole_numbers(y: np.ndarray, rows: int) -> tuple[np.ndarray, list[str]]:
    """Labels (N,) as int64, and notes. Text is numbered in sorted order. Raises Unfit."""
    if y.shape != (rows,):
        raise Unfit(f"y has shape {y.shape}, x has {rows} rows: write one label a row.")
    if y.dtype.kind in "USO":
        return classes(_text(y))
    if y.dtype.kind == "f":
        return _of_floats(y)
    if y.dtype.kind not in "iub":
        raise Unfit(f"y holds {y.dtype}: write whole numbers or text.")
    y_N = y.astype(np.int64)
    return y_N, list(_counted(*np.unique(y_N, return_counts=True), "labels"))


def classes(names_N: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The index (N,) of each name among the sorted distinct names, and notes."""
    names_K, y_N, counts_K = np.unique(names_N, return_inverse=True, return_counts=True)
    said = list(_counted(names_K, counts_K, "names as labels 0, 1, ... in the order of sorting"))
    if alike := twins(names_K.tolist()):
        said.append(f"classes whose names differ in case or spaces alone count as several: {', '.join(alike)}.")
    return y_N, said


def _text(y: np.ndarray) -> np.ndarray:
    """Labels as text. Raises Unfit for labels that are not text."""
    if y.dtype.kind == "S":
        try:
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise Unfit("y holds bytes that are no text in UTF-8: write whole numbers or text.") from error
    wrong = next((row for row, label in enumerate(y) if not isinstance(label, str)), None)
    if wrong is not None:
        what = "None" if y[wrong] is None else f"of type {type(y[wrong]).__name__}"
        raise Unfit(f"row {wrong} of y is {what}, which is no text: label every row, with text or numbers.")
    return y.astype(str)


def _of_floats(y: np.ndarray) -> tuple[np.ndarray, list[str]]:
    wrong_N = ~(np.isfinite(y) & (y == np.round(y)))
    if wrong_N.any():
        row = int(wrong_N.argmax())
        raise Unfit(f"y holds {y.dtype}, and row {row} {y[row]}: write whole numbers or text.")
    y_N = y.astype(np.int64)
    told = f"labels are {y.dtype}, and taken as whole numbers, which all of them are."
    return y_N, [told, *_counted(*np.unique(y_N, return_counts=True), "labels")]


def _counted(names_K: np.ndarray, counts_K: np.ndarray, what: str):
    """A note on how many rows each class has."""
    each = [f"{name} {count:,}" for name, count in zip(names_K[:SHOWN].tolist(), counts_K.tolist(), strict=False)]
    if len(names_K) > SHOWN:
        each.append(f"... {names_K[-1]} {counts_K[-1]:,}")
    if len(names_K) == 1:
        yield f"all rows are of one class, {names_K[0]}: labels tell nothing."
    else:
        yield f"{len(names_K):,} classes, {what}, with rows: {', '.join(each)}."
