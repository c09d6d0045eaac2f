"""HTML tables. A click on a header sorts by the full values, not by what the cells show (`script.js`)."""

from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.reporting.html.axes import is_finite
from orchestrator.reporting.html.markup import Child, Markup, element, scrolled
from orchestrator.text import show


def number(value: Any, text: str | None = None) -> Markup:
    """A cell with a number, shown as `text`. One without a finite value sorts last."""
    text = show(value) if text is None else text
    return element("td", text, class_="number", data_value=repr(value) if is_finite(value) else "")


def cell(value: Any) -> Markup:
    """A cell: Markup of a cell as it is, a number, or text."""
    if isinstance(value, Markup):
        return value if value.startswith("<td") else element("td", value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return element("td", show(value))


def trial_cell(trial: str, color: str | None = None) -> Markup:
    """A cell with the id of a trial: a button that marks it in all figures."""
    swatch = element("span", class_=f"swatch {color}") if color else None
    return element("td", trial_button(trial, swatch, trial), data_value=trial)


def trial_button(trial: str, *children: Child) -> Markup:
    return element("button", *children, type="button", class_="trial", data_mark=trial, aria_pressed="false")


def table(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]], trials: Sequence[str] = ()) -> Markup:
    """A table that can be sorted. `trials` are those of the first rows: pointing at such a row marks its trial."""
    known = [*trials]
    lines = []
    for place, row in enumerate(rows):
        trial = known[place] if place < len(known) else None
        lines.append(element("tr", *map(cell, row), data_trial=trial))
    head = element("thead", element("tr", *(element("th", title, scope="col") for title in header)))
    return scrolled(name, element("table", head, element("tbody", *lines), class_="sortable"))


def facts(pairs: Iterable[tuple[str, Any]]) -> Markup:
    """Names and their values, as a list of definitions."""
    parts = (
        element("div", element("dt", name), element("dd", value if isinstance(value, str) else show(value)))
        for name, value in pairs
    )
    return element("dl", *parts, class_="facts")
