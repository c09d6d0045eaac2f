"""Files of rows, and of what a model makes of them: read for `encode`, written by `encode` and `sample`."""

# Shapes: N rows of the file, X data dimensions.

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from orchestrator.errors import UserError
from trainables.common.errors import DataError, Unfit
from trainables.common.files import whole
from trainables.data.base import Rows
from trainables.data.formats import arrays, folders
from trainables.data.formats.labels import whole_numbers
from trainables.inference.model import Model

COLUMNS = 8  # of a grid of images


def read_rows(file: Path, model: Model) -> tuple[np.ndarray, np.ndarray | None]:
    """The rows (N, *X) of a file or of a folder of pictures, and labels (N,) if it has any.

    They are cropped, resized and scaled as the rows that the model was trained on. Images may have their channels last,
    or none. Raises UserError.
    """
    own = model.run.data
    try:
        if file.is_dir() or (own.is_own and own.changes_rows):
            found, _ = own.rows_in(file, least=1) if own.is_own else folders.pictures(file, least=1)
            rows = found.read()
            return rows.x.numpy(), labels_of(rows)
        x, y, _ = arrays.read(file)
        if y is not None:
            whole_numbers(y, len(x))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}.") from None
    except (Unfit, DataError) as error:
        raise UserError(f"{file}: {error}") from None
    return as_images(x, model.shape), y


def labels_of(rows: Rows) -> np.ndarray | None:
    """The labels of rows, by the names of their classes where these have any."""
    if rows.y is None:
        return None
    return np.array(rows.classes)[rows.y.numpy()] if rows.classes else rows.y.numpy()


def as_images(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows with the channels first, where a model of images takes them so and they fit no other way."""
    if len(shape) == 3 and x.shape[1:] != shape:
        if x.shape[1:] == shape[1:] and shape[0] == 1:
            return x[:, None]
        if x.shape[1:] == (*shape[1:], shape[0]):
            return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def write_arrays(file: Path, found: dict[str, np.ndarray | None]) -> None:
    """Write arrays as .npz, without those that are None. Raises UserError."""
    if file.suffix.lower() != ".npz":
        raise UserError(f"{file}: arrays are written as .npz: name such a file.")
    known = {name: value for name, value in found.items() if value is not None}
    write(file, lambda stream: np.savez(stream, **known))


def write_samples(file: Path, model: Model, x: np.ndarray) -> None:
    """Write generated rows as .npz (key x), or images as one picture with a grid of them. Raises UserError."""
    if file.suffix.lower() == ".npz":
        write_arrays(file, {"x": x})
        return
    if file.suffix.lower() != ".png":
        raise UserError(f"{file}: samples are written as .png or .npz: name such a file.")
    if len(model.shape) != 3:
        raise UserError(f"{file}: {model.origin.name} generates rows {model.shape}, no images: name a .npz file.")
    from trainables.pictures import grid  # imports matplotlib

    sheet = grid(torch.from_numpy(x), model.range or (float(x.min()), float(x.max())), COLUMNS)
    write(file, lambda stream: sheet.save(stream, "PNG"))


def write(file: Path, save: Callable[[BinaryIO], None]) -> None:
    """Write a file whole or not at all, in a folder that is made if need be. Raises UserError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as stream:
            save(stream)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror or error}.") from None
