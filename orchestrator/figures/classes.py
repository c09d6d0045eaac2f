"""Figures of classes: the mean magnitude of each latent axis in each class, and what the axes of a class do."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from orchestrator.figures.base import Kind, Unfit, left_out, of_images, picked, require, tried
from orchestrator.figures.panels import Bars, Drawing, Plot, Sheet
from orchestrator.figures.trained import Configuration, Model, Table, Trained
from trainables.common.lazy import LazyModule

sheets = LazyModule("trainables.figures.sheets")

METRIC, TABLE = "magnitudes", "magnitudes.csv"
ACTIVE = "active"
MOST_CLASSES, COLUMNS = 10, 5
EXAMPLES = 3  # classes of which an image is varied, as in the paper


class Class(NamedTuple):
    """A class of the data."""

    label: int
    name: str
    """The label as text, where it has no name."""


Magnitudes = dict[Class, dict[int, tuple[float, bool]]]
"""Class -> axis -> its mean magnitude in the class, and whether it is active there."""


class ClassMagnitudes(Kind):
    """The mean magnitude of each latent axis in each class, and the share of axes that are active."""

    name = "class-magnitudes"
    papers = "Intel 8 (top)"

    def panels(self, trained: Trained) -> Drawing:
        panels = []
        for one, found in _measured(trained):
            classes = dict(list(found.items())[:MOST_CLASSES])
            panels += [_bars(one.title, of.name, axes) for of, axes in classes.items()]
            panels += [Plot("", [])] * (-len(panels) % COLUMNS)  # each configuration begins a row
        return Drawing(panels, COLUMNS, left_out(trained.configurations))


class ClassTraversals(Kind):
    """An image of each of three classes along the axis that most sets its class apart, from -3 to 3 sd."""

    name = "class-traversals"
    papers = "Intel 8 (bottom)"

    def unfit(self, model: Model) -> str:
        return of_images(model)

    def panels(self, trained: Trained) -> Drawing:
        panels, notes = [], left_out(trained.configurations)
        for one, found in _measured(trained):
            axes = {of: _own_axis(found, of) for of in list(found)[:EXAMPLES]}
            choices = [(of.label, axis) for of, axis in axes.items()]
            images_RSHWK = tried(one, partial(sheets.along, choices=choices), notes)
            if images_RSHWK is not None:
                rows = [f"class {of.name}: axis {axis}" for of, axis in axes.items()]
                panels.append(Sheet(one.title, images_RSHWK, rows))
        require(panels, notes)
        return Drawing(panels, min(2, len(panels)), notes)


def _measured(trained: Trained) -> list[tuple[Configuration, Magnitudes]]:
    """The configurations of which magnitudes were measured. Raises UserError where there are none, and Unfit."""
    tables = [(one, one.best.table(METRIC, TABLE)) for one in picked(trained.configurations)]
    known = [(one, _magnitudes(table)) for one, table in tables if table]
    if not known:
        reasons = {reason for one, _ in tables if (reason := one.best.undefined(METRIC))}
        if reasons:
            raise Unfit("; ".join(sorted(reasons)))
        raise trained.unmeasured("the magnitude of axes in each class", [METRIC])
    return known


def _magnitudes(table: Table) -> Magnitudes:
    found: Magnitudes = {}
    for row in table:
        number = float(row["magnitude"]), row["active"] == "1"
        of = Class(int(row["class"]), row.get("name") or row["class"])  # earlier versions wrote no name
        found.setdefault(of, {})[int(row["axis"])] = number
    return found


def _bars(title: str, name: str, axes: dict[int, tuple[float, bool]]) -> Plot:
    active = {axis: size for axis, (size, is_active) in axes.items() if is_active}
    others = {axis: size for axis, (size, is_active) in axes.items() if not is_active}
    marks = [
        Bars(kind, list(sizes), list(sizes.values()), muted=kind != ACTIVE)
        for kind, sizes in ((ACTIVE, active), ("not active", others))
        if sizes
    ]
    share = f"{len(active)} of {len(axes)} axes active ({len(active) / len(axes):.0%})"
    return Plot(f"{title}, class {name}\n{share}", marks, "axis", "mean magnitude")


def _own_axis(found: Magnitudes, of: Class) -> int:
    """The axis whose magnitude in a class exceeds its mean over all classes most."""

    def excess(axis: int) -> float:
        return found[of][axis][0] - sum(axes[axis][0] for axes in found.values()) / len(found)

    return max(found[of], key=excess)
