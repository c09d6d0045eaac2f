"""What a figure shows, before it is drawn: panels of points, curves and bars, or of images. Plain values only."""

# Shapes: N points, R rows and C columns of images of H x W pixels in K colours (1 or 3).

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np

MarkRow = tuple[float, float, float | str]
"""x, y, and the error of y or an empty string."""
Scale = Literal["linear", "log"]
Frame = tuple[tuple[float, float], tuple[float, float]]
"""Smallest and largest x, and y."""


@dataclass(frozen=True)
class Points:
    """A cloud of points."""

    kind: ClassVar[str] = "points"
    label: str
    xy_N2: np.ndarray
    faint: bool = False
    """Drawn behind the others, as a shadow."""

    def rows(self) -> Iterator[MarkRow]:
        """One for each point."""
        return ((float(x), float(y), "") for x, y in self.xy_N2)


@dataclass(frozen=True)
class Curve:
    """Points joined in their order."""

    kind: ClassVar[str] = "curve"
    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    """Of each y; empty: none is drawn."""
    style: Literal["marked", "plain", "thin", "grid", "level"] = "marked"
    """marked: a marker at each point; thin, and grid, which is grey: without a place in the legend; level: dashed."""

    def rows(self) -> Iterator[MarkRow]:
        """One for each point."""
        errors = self.error or [""] * len(self.x)
        return ((float(x), float(y), e) for x, y, e in zip(self.x, self.y, errors, strict=True))


@dataclass(frozen=True)
class Bars:
    """Bars from 0."""

    kind: ClassVar[str] = "bars"
    label: str
    x: Sequence[float]
    y: Sequence[float]
    muted: bool = False
    """Drawn in grey."""

    def rows(self) -> Iterator[MarkRow]:
        """One for each bar."""
        return ((float(x), float(y), "") for x, y in zip(self.x, self.y, strict=True))


Mark = Points | Curve | Bars


@dataclass(frozen=True)
class Plot:
    """A pair of axes with its marks; marks of one label have one colour in all panels of a figure."""

    title: str
    marks: Sequence[Mark]
    x: str = ""
    """Label of the axis."""
    y: str = ""
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    equal: bool = False
    """Whether a unit of x is as long as one of y."""
    frame: Frame | None = None
    """What the axes show; None: what the marks need."""


@dataclass(frozen=True)
class Sheet:
    """Images in rows and columns."""

    title: str
    images_RCHWK: np.ndarray
    """Bytes."""
    rows: Sequence[str] = ()
    """A label for each row; empty: none has one."""
    rejected: frozenset[int] = frozenset()
    """Rows that are framed in red."""


@dataclass(frozen=True)
class Drawing:
    """A figure: its panels in rows of `columns`, either all plots or all sheets."""

    panels: Sequence[Plot] | Sequence[Sheet]
    columns: int
    notes: Sequence[str] = field(default=())
    """Lines for the user about what is not drawn, and why."""
