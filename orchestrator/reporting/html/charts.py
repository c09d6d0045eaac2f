"""SVG charts with an axis at the left and one below. Their colours are those of `style.css`."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestrator.reporting.html.axes import Axis, Numbers, is_finite
from orchestrator.reporting.html.markup import Child, Markup, element

WIDTH, HEIGHT = 880.0, 340.0
LEAST = 560.0  # pixels: a chart in a narrower window scrolls
MANY = 60  # lines that are drawn thin and pale
RING = 1.5  # the radius of a line that is a single point
LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 14.0, 44.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """A line of one trial."""

    trial: str
    text: str
    """Shown beside the pointer."""
    points: Sequence[Point]
    """NaN in the second number breaks the line."""
    color: str = ""
    """A CSS class; empty: grey."""


@dataclass(frozen=True)
class Plot:
    """The area between two axes, in the SVG's units."""

    x: Axis
    y: Axis
    x_name: str
    y_name: str

    def at(self, x: float, y: float) -> tuple[float, float] | None:
        """The place of a point; None where an axis has none for it."""
        across, up = self.x.share(x), self.y.share(y)
        if across is None or up is None:
            return None
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def drawn(self, title: str, *marks: Child) -> Markup:
        """The chart. `title` is what it shows, for those who do not see it."""
        name = element("title", title)
        crowd = "many" if len(marks) > MANY else None
        return svg((WIDTH, HEIGHT, LEAST), title, name, self._grid(), element("g", *marks, class_=crowd), self._names())

    def _grid(self) -> Markup:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = []
        for share, label in self.y.ticks():
            y = bottom - share * (bottom - TOP)
            parts += [line(LEFT, y, right, y, "grid"), text(LEFT - 8, y + 4, label, "end")]
        for share, label in self.x.ticks():
            x = LEFT + share * (right - LEFT)
            parts += [line(x, bottom, x, bottom + 4, "tick"), text(x, bottom + 18, label, "middle")]
        return element("g", *parts, line(LEFT, bottom, right, bottom, "tick"), class_="axes", aria_hidden="true")

    def _names(self) -> Markup:
        middle = (LEFT + WIDTH - RIGHT) / 2
        return element(
            "g", text(middle, HEIGHT - 6, self.x_name, "middle"), text(LEFT, TOP - 4, self.y_name, "start"),
            class_="axes names", aria_hidden="true",
        )  # fmt: skip


def svg(size: tuple[float, float, float], title: str, *children: Child) -> Markup:
    """A drawing of some width and height, which is made as wide as the page but not below a third number of pixels."""
    width, height, least = size
    box = f"0 0 {width:.0f} {height:.0f}"
    return element("svg", *children, viewBox=box, role="img", aria_label=title, style=f"min-width:{least:.0f}px")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def text(x: float, y: float, label: str, anchor: str, **attributes: str) -> Markup:
    """Text whose `start`, `middle` or `end` is at a point."""
    return element("text", label, x=x, y=y, text_anchor=anchor, **attributes)


def path_of(places: Iterable[tuple[float, float] | None]) -> str:
    """The `d` of a path through places. None breaks it; a place without neighbours becomes a small ring."""
    parts = (list(run) for drawn, run in groupby(places, bool) if drawn)
    return "".join(_ring(*run[0]) if len(run) == 1 else _through(run) for run in parts)


def _through(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _ring(x: float, y: float) -> str:
    half = f"{RING:.1f} {RING:.1f} 0 0 0"
    return f"M{x - RING:.1f} {y:.1f}a{half} {2 * RING:.1f} 0a{half} {-2 * RING:.1f} 0"


def curve(plot: Plot, one: Curve, most: int) -> Markup:
    """The line of a trial, of at most about `most` points."""
    places = [plot.at(x, y) for x, y in thinned(one.points, most)]
    return element(
        "path", d=path_of(places), class_=f"trial line {one.color}".strip(), data_trial=one.trial, data_tip=one.text
    )


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most about `most` of the points, in order: of each stretch its lowest and its highest, and both ends.

    So no peak is lost, and the ends stay. A stretch with a value that is not finite keeps one of them too.
    """
    if len(points) <= max(most, 4):
        return list(points)
    stretch = math.ceil(2 * len(points) / max(most, 4))
    kept = {0, len(points) - 1}
    for start in range(0, len(points), stretch):
        here = range(start, min(start + stretch, len(points)))
        finite = [place for place in here if math.isfinite(points[place][1])]
        kept.update(next(([place] for place in here if not math.isfinite(points[place][1])), []))
        if finite:
            kept |= {min(finite, key=lambda place: points[place][1]), max(finite, key=lambda place: points[place][1])}
    return [points[place] for place in sorted(kept)]


def beyond(axis: Axis, values: Sequence[float]) -> int:
    """How many finite values lie beyond the ends of an axis of numbers, and are drawn on them."""
    if not isinstance(axis, Numbers):
        return 0
    return sum(is_finite(value) and not axis.low <= value <= axis.high for value in values)
