"""A contact sheet of a data set: rows of its training split by class, images as images and vectors as curves."""

# Shapes: N rows, R rows and C columns of images of H x W pixels in K colours.

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UserError
from orchestrator.figures.output import write
from orchestrator.figures.panels import Curve, Drawing, Plot, Points, Sheet
from orchestrator.text import cut
from trainables.common.lazy import LazyModule, np, torch
from trainables.data.base import class_name
from trainables.data.formats.framing import Framing

if TYPE_CHECKING:
    from trainables.data.base import Part, Rows

drawing = LazyModule("orchestrator.figures.drawing")
pictures = LazyModule("trainables.pictures")
sheets = LazyModule("trainables.figures.sheets")

SUFFIX = ".png"
EACH, MOST_CLASSES = 10, 20  # rows of a class, and classes
UNLABELLED = 8  # times as many rows of images without labels
LOOKED_THROUGH = 2_000  # rows of a set whose labels only reading tells
LARGEST_SIDE = 96  # pixels; larger images are shown smaller
LONGEST_NAME = 16  # characters
COLUMNS = 4  # of plots
POINTS = 2_000
MARGIN = 0.05  # above and below all curves, of their height


def save_sheet(title: str, train: Part, file: Path) -> None:
    """Draw the contact sheet of a training split into a PNG. Raises UserError, and DataError for rows."""
    write(file, drawing.content(drawing.draw(sheet_of(title, train)), "png"), "--sheet")


def check_file(file: Path) -> None:
    """Raises UserError for a file that is no PNG by its name."""
    if file.suffix.lower() != SUFFIX:
        raise UserError(f"--sheet {file}: a contact sheet is a PNG: name a file that ends in {SUFFIX}.")


def sheet_of(title: str, train: Part) -> Drawing:
    """The first rows of each class or, without labels, of the split. Raises DataError."""
    if train.y is None and train.take(slice(1)).read().y is not None:  # only reading tells the labels
        train = train.take(slice(LOOKED_THROUGH)).read()
    by_class = _rows_by_class(train)
    rows = train.take(torch.cat(list(by_class.values()))).read()
    if len(rows.shape) == 1:
        return _of_vectors(title, rows, by_class)
    return Drawing([_of_images(title, rows, by_class)], 1)


def _rows_by_class(train: Part) -> dict[str, torch.Tensor]:
    """Name of a class -> the places of its first rows; a single one without a name for rows without labels."""
    if train.y is None:
        images = len(train.shape) == 3
        most = UNLABELLED * EACH if images else POINTS if train.shape == (2,) else EACH
        return {"": torch.arange(min(most, len(train)))}
    most = POINTS if train.shape == (2,) else EACH
    labels = train.y.unique().tolist()[:MOST_CLASSES]
    return {class_name(train.classes, label): (train.y == label).nonzero()[:most, 0] for label in labels}


def _of_images(title: str, rows: Rows, by_class: dict[str, torch.Tensor]) -> Sheet:
    """A row of the sheet for each class; white where a class has fewer images."""
    x_NCHW = rows.batch(torch.arange(len(rows)))
    images_NHWK = sheets.as_bytes(x_NCHW[:, None], pictures.span_of(rows))[:, 0]
    images_NHWK = _smaller(images_NHWK)
    counts = [len(index) for index in by_class.values()]
    names = list(by_class) if rows.y is not None else []
    if not names:  # several rows of images without a name
        counts = [min(EACH, counts[0] - start) for start in range(0, counts[0], EACH)]
    shown_RCHWK = np.full((len(counts), EACH, *images_NHWK.shape[1:]), 255, np.uint8)
    starts = np.cumsum([0, *counts])
    for row, count in enumerate(counts):
        shown_RCHWK[row, :count] = images_NHWK[starts[row] : starts[row] + count]
    return Sheet(title, shown_RCHWK, [cut(name, LONGEST_NAME) for name in names])


def _smaller(images_NHWK: np.ndarray) -> np.ndarray:
    """The images, so small that none of their sides is longer than LARGEST_SIDE."""
    height, width = images_NHWK.shape[1:3]
    if max(height, width) <= LARGEST_SIDE:
        return images_NHWK
    sides = [max(1, round(side * LARGEST_SIDE / max(height, width))) for side in (height, width)]
    return np.moveaxis(Framing(resize=tuple(sides)).of_array(np.moveaxis(images_NHWK, 3, 1)), 1, 3)


def _of_vectors(title: str, rows: Rows, by_class: dict[str, torch.Tensor]) -> Drawing:
    """A plot for each class; points of the plane have one plot together."""
    x_ND = rows.batch(torch.arange(len(rows))).numpy()
    parts = np.split(x_ND, np.cumsum([len(index) for index in by_class.values()])[:-1])
    named = dict(zip((cut(name, LONGEST_NAME) for name in by_class), parts, strict=True))
    if rows.shape == (2,):
        clouds = [Points(name, part_N2) for name, part_N2 in named.items()]
        return Drawing([Plot(title, clouds, "$x_1$", "$x_2$", equal=True)], 1)
    margin = MARGIN * float(x_ND.max() - x_ND.min()) or 1.0
    frame = (0.0, max(x_ND.shape[1] - 1.0, 1.0)), (float(x_ND.min()) - margin, float(x_ND.max()) + margin)
    panels = [
        Plot(f"{title}: {name}" if name else title, _curves(part_ND), "place in the vector", "value", frame=frame)
        for name, part_ND in named.items()
    ]
    return Drawing(panels, min(COLUMNS, len(panels)))


def _curves(part_ND: np.ndarray) -> list[Curve]:
    return [Curve(str(number), range(len(x_D)), x_D.tolist(), style="thin") for number, x_D in enumerate(part_ND)]
