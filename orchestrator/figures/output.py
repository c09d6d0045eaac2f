"""Writes a figure's files: a picture in each format that is asked for, and its data as CSV beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.figures.listing import as_text
from orchestrator.figures.panels import Drawing
from trainables.common.files import whole
from trainables.common.lazy import LazyModule

drawing = LazyModule("orchestrator.figures.drawing")

FORMATS = ("png", "svg", "pdf")
DATA = ".csv"
OTHERS = ("bmp", "csv", "eps", "gif", "jpeg", "jpg", "ps", "tif", "tiff", "webp")
"""Suffixes that would mislead whoever opens the file."""


def files_of(file: Path, formats: Sequence[str]) -> list[tuple[Path, str]]:
    """The pictures and their formats: those asked for, else that of the file's name, else PNG. Raises UserError."""
    suffix = file.suffix.lower().removeprefix(".")
    known = suffix in FORMATS
    if suffix in OTHERS:
        raise UserError(f"-o {file}: a figure is a {', '.join(FORMATS)}, with a CSV beside it: name another file.")
    if not formats:
        return [(file, suffix)] if known else [(_with(file, "png"), "png")]
    bare = file.with_suffix("") if known else file
    return [(_with(bare, form), form) for form in dict.fromkeys(formats)]


def save(shown: Drawing, files: Sequence[tuple[Path, str]]) -> list[Path]:
    """Write the pictures and, beside the first, the data, each whole or not at all. Returns all files.

    Raises UserError.
    """
    figure = drawing.draw(shown)
    data = files[0][0].with_suffix(DATA)
    contents = {file: drawing.content(figure, form) for file, form in files} | {data: as_text(shown).encode()}
    for path, content in contents.items():
        write(path, content, "-o")
    return list(contents)


def write(path: Path, content: bytes, option: str) -> None:
    """Write a file whole or not at all. Raises UserError that says by which option to choose another."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}. Choose another file by {option}.") from None


def _with(file: Path, form: str) -> Path:
    return file.with_name(f"{file.name}.{form}")
