"""The user's own data: one file of images or vectors, or a folder of pictures."""

# Shapes: N rows of the file, D numbers of a vector, images (N, C, H, W).

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_serializer, model_validator

from trainables.common.errors import DataError, Unfit
from trainables.common.lazy import np, torch
from trainables.common.records import unwritten
from trainables.data.base import Dataset, Part, Rows, Splits, hold_out
from trainables.data.formats.arrays import read
from trainables.data.formats.folders import pictures
from trainables.data.formats.framing import Framing, Size, Unframable, shown
from trainables.data.formats.labels import printable, whole_numbers
from trainables.data.formats.ranges import range_of, unbounded

MOST_CHANNELS = 4
LARGEST_SIDE = 16_384  # pixels


def _absolute(path: str) -> str:
    """Resolve a path against the working directory of the process that reads the record: a worker's differs."""
    return str(Path(path).expanduser().absolute())


def _sides(value: Any) -> Size | None:
    """A size as a user writes it: the side of a square, or [height, width]."""
    sides = [value, value] if isinstance(value, int) else value
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(map(_is_side, sides)):
        raise ValueError(f"must be a side or [height, width], in pixels from 1 to {LARGEST_SIDE}.")
    return tuple(sides)


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_SIDE


OwnPath = Annotated[str, AfterValidator(_absolute)]
SIDE = {"type": "integer", "minimum": 1, "maximum": LARGEST_SIDE}
SIDES = {"anyOf": [SIDE, {"type": "array", "items": SIDE, "minItems": 2, "maxItems": 2}]}
Sides = Annotated[tuple[int, int], BeforeValidator(_sides), WithJsonSchema(SIDES)]


class Array(Dataset):
    """Your own file: .npy, .npz (key x, optional y) or .parquet, of images or vectors; or a folder of pictures.

    - `x` (N, D) is vectors; (N, H, W) grey images; (N, C, H, W) or (N, H, W, C) images of C = 1 to 4 channels, where
      only one of axes 1 and 3 may have such a size.
    - Labels `y` (N,) are whole numbers, true and false, text, or at most 50 different numbers, no more than half as
      many as rows. Text and numbers that are not whole are numbered in sorted order, and their names are kept.
    - .parquet: a list column `x` holds the vectors, all of one length; without it, all columns except `y` and pandas'
      index are features, in their order.
    - uint8 goes from 0 to 255 and is scaled to [0, 1]. Floats count as bounded if all lie in [0, 1], or else in
      [-1, 1]; others are unbounded and stay as they are. Any other type is refused. With `scale`, numbers of any type
      are divided by it first.
    - `images` instead of `path` names a folder of .png, .jpg or other pictures, which are read when needed and turned
      by their EXIF orientation; or a folder of such folders, one per class, whose labels follow the sorted names of
      the classes. Hidden files and folders are left out.
    - Images of any source are first cropped, then resized, then scaled. Pictures of unequal sizes need `resize`, or a
      `crop` that none is smaller than.
    - A fixed shuffle holds out `val_fraction` of the rows for validation. There are no test rows.
    """

    name: Literal["array"] = "array"
    path: OwnPath | None = None
    """Path of the file."""
    images: OwnPath | None = None
    """Path of the folder of pictures."""
    scale: float | None = Field(None, gt=0)
    """Divisor of the numbers of `path`, such as 255 for floats from 0 to 255; None: they stay as they are."""
    crop: Sides | None = unwritten(None)
    """Size of the middle of each image that is kept: a side or [height, width]. Where an odd number of rows or columns
    is cut off, one more is at the bottom or the right. None: images stay whole."""
    resize: Sides | None = unwritten(None)
    """Size that images get: a side or [height, width]. Proportions may change. Pillow's antialiased bilinear filter:
    bytes give bytes, other numbers float32. None: they keep their size."""
    val_fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of the rows for validation; at least one row, and at most all but one."""

    source: ClassVar[str] = "your own file"
    licence: ClassVar[str] = "your own"
    citation: ClassVar[str] = "your own"
    is_own: ClassVar[bool] = True

    @model_validator(mode="after")
    def _one_place(self) -> Array:
        if (self.path is None) == (self.images is None):
            raise ValueError("array needs one of 'path', a file, and 'images', a folder: name one of the two.")
        if self.images and self.scale:
            raise ValueError("'scale' is for the numbers of 'path': pictures count from 0 to 255. Leave it out.")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, serialized) -> dict[str, Any]:
        """Leaves out `scale` if it is None, as earlier versions did: their checkpoints and prepared sets stay valid."""
        values = serialized(self)
        if self.scale is None:
            values.pop("scale", None)
        return values

    def wanted(self) -> tuple[tuple[str, ...], ...]:
        return ((self.path or self.images,),)

    def known_facts(self) -> None:
        """None: the facts depend on the user's files."""
        return

    def from_files(self, root: Path) -> Splits:
        field = "path" if self.path else "images"
        path = Path(getattr(self, field))
        try:
            rows, notes = self._numbers(path) if self.path else pictures(path, self._framing)
        except Unframable as error:
            raise DataError(f"{path}: {error}", error.field) from error
        except Unfit as error:
            raise DataError(f"{path}: {error}", field) from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}): mend the path.", field) from error
        val_rows = min(max(round(len(rows) * self.val_fraction), 1), len(rows) - 1)
        return replace(hold_out(rows, val_rows), notes=tuple(map(printable, notes)))

    @property
    def changes_rows(self) -> bool:
        """Whether rows are cropped, resized or scaled."""
        return bool(self.crop or self.resize or self.scale)

    def rows_in(self, path: Path, least: int) -> tuple[Part, Sequence[str]]:
        """All rows of another file or folder of pictures, read as this record has its own, and notes.

        Raises Unfit and OSError.
        """
        return pictures(path, self._framing, least) if path.is_dir() else self._numbers(path, least)

    @property
    def _framing(self) -> Framing:
        return Framing(self.crop, self.resize)

    def _numbers(self, path: Path, least: int = 2) -> tuple[Part, list[str]]:
        x, y, notes = read(path)
        notes += _taken_for(x.shape)
        x = _placed(x, least)
        _check_type(x, self.scale)
        notes += _stretched(x, self._framing)
        x = _finite(_typed(_framed(x, self._framing), self.scale))
        values = range_of(x)
        if values is None:
            notes.append(unbounded(x))
        classes: tuple[str, ...] = ()
        if y is not None:
            y, classes, said = whole_numbers(y, len(x))
            notes += said
        y_N = None if y is None else torch.from_numpy(y)
        return Rows(torch.from_numpy(x), y_N, values, classes=classes), notes


def _placed(x: np.ndarray, least: int) -> np.ndarray:
    """`x` as vectors (N, D) or images (N, C, H, W)."""
    if x.ndim not in (2, 3, 4):
        raise Unfit(f"x has {x.ndim} dimensions {x.shape}: write (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W).")
    if x.size == 0 or len(x) < least:
        raise Unfit(f"x of shape {x.shape} is too small: at least one row to train on and one to validate are needed.")
    if x.ndim == 4:
        return np.moveaxis(x, _channel_axis(x.shape), 1)
    return x[:, None] if x.ndim == 3 else x


def _taken_for(shape: tuple[int, ...]) -> Iterator[str]:
    """Notes on shapes that may be meant otherwise."""
    if len(shape) == 3 and min(shape[1:]) <= MOST_CHANNELS:
        yield f"x of shape {shape} is read as grey images of {shape[1]}x{shape[2]}."
    if len(shape) == 4 and MOST_CHANNELS in (shape[1], shape[3]):
        yield f"images have {MOST_CHANNELS} channels, all of which are trained on: drop the last if it is transparency."


def _channel_axis(shape: tuple[int, ...]) -> int:
    found = [axis for axis in (1, 3) if shape[axis] <= MOST_CHANNELS]
    if len(found) != 1:
        raise Unfit(
            f"x of shape {shape}: just one of the axes 1 and 3 must be the 1 to {MOST_CHANNELS} channels: "
            "write (N, H, W, C) or (N, C, H, W)."
        )
    return found[0]


def _stretched(x: np.ndarray, framing: Framing) -> Iterator[str]:
    """A note on images that lose their proportions."""
    if x.ndim == 4 and framing.stretches(x.shape[2:]):
        told = f"images of {shown(x.shape[2:])} are stretched to {shown(framing.resize)}"
        yield f"{told}: 'crop' leaves proportions as they are."


def _framed(x: np.ndarray, framing: Framing) -> np.ndarray:
    """Images (N, C, H, W) cropped and resized. Raises Unframable for vectors."""
    if not framing.asked:
        return x
    if x.ndim == 2:
        raise Unframable(
            f"'{framing.asked}' is for images, and x of shape {x.shape} is vectors: leave it out.", framing.asked
        )
    return framing.of_array(x)


def _check_type(x: np.ndarray, scale: float | None) -> None:
    """Raises Unfit for numbers of a type whose range is not known."""
    kinds = "f" if scale is None else "fiu"
    if x.dtype.kind not in kinds and x.dtype != np.uint8:
        raise Unfit(
            f"x holds {x.dtype}: write uint8 (0 to 255) or floats, so that its range is clear, or say by 'scale' what "
            "whole numbers are to be divided by."
        )


def _typed(x: np.ndarray, scale: float | None) -> np.ndarray:
    """`x` as uint8 or float32."""
    with np.errstate(over="ignore", invalid="ignore"):  # overflow becomes infinite, which `_finite` reports
        if scale is not None:
            x = np.divide(x, scale, dtype=np.float32, casting="unsafe")
        return np.require(x, np.uint8 if x.dtype == np.uint8 else np.float32, ["C", "W"])  # torch wants it writable


def _finite(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint8:
        return x
    sound_N = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not sound_N.all():
        raise Unfit(f"row {sound_N.argmin()} of x is the first with a NaN or infinite value: drop or mend such rows.")
    return x
