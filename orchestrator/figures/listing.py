"""A figure's data as CSV: a line for each point or bar that is drawn, or for each image with all its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.figures.panels import Drawing, Plot, Sheet
from orchestrator.reporting.tables import as_csv

OF_PLOTS = ("panel", "mark", "label", "x", "y", "error")
OF_SHEETS = ("panel", "row", "column", "label", "rejected", "height", "width", "colours")


def as_text(drawing: Drawing) -> str:
    """The CSV. Pixels are bytes, line by line from the top, the colours of a pixel together."""
    if isinstance(drawing.panels[0], Plot):
        return as_csv(OF_PLOTS, _points(drawing.panels))
    pixels = max(sheet.images_RCHWK[0, 0].size for sheet in drawing.panels)
    return as_csv([*OF_SHEETS, *(f"pixel_{number}" for number in range(pixels))], _images(drawing.panels))


def _points(panels: list[Plot]) -> Iterator[list[Any]]:
    return (
        [panel.title, mark.kind, mark.label, *row] for panel in panels for mark in panel.marks for row in mark.rows()
    )


def _images(panels: list[Sheet]) -> Iterator[list[Any]]:
    for sheet in panels:
        for row, images_CHWK in enumerate(sheet.images_RCHWK):
            label = sheet.rows[row] if sheet.rows else ""
            for column, image_HWK in enumerate(images_CHWK):
                place = [sheet.title, row, column, label, int(row in sheet.rejected), *image_HWK.shape]
                yield [*place, *image_HWK.ravel().tolist()]
