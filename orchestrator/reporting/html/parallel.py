"""The section with parallel coordinates: a line for each trial, through its hyper-parameters to its objective."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from orchestrator.reporting.html.axes import Axis, Numbers, axis_of, objective_axis
from orchestrator.reporting.html.charts import LEAST, MANY, beyond, line, path_of, svg, text
from orchestrator.reporting.html.content import SweepData, TrialData
from orchestrator.reporting.html.markup import Child, Markup, Section, element, joined, paragraph, scrolled
from orchestrator.text import cut, short_names, show

HEIGHT, TOP, BOTTOM = 330.0, 46.0, 34.0
WIDE, SIDE = 880.0, 84.0  # of a chart with few axes; beside the outer ones
APART = 132.0  # between two axes, at least
LONGEST = 18  # characters of a tick or a name that fit
SHADES = (0.05, 0.15, 0.3, 0.5, 0.75)  # the shares of trials that are better than those of each paler shade

ABSENT = object()
"""Marks that a trial has no value on an axis."""


class Column(NamedTuple):
    """A vertical axis."""

    name: str
    path: str
    axis: Axis


def section(sweep: SweepData) -> Section | None:
    """None where nothing varies."""
    columns = columns_of(sweep)
    if not columns:
        return None
    lead = "Each line is a trial. The best have the strongest colour; dashed ones have no objective, or went wrong."
    lead += " An axis marked log shows logarithms. A trial that has no such hyper-parameter passes below its axis."
    outside = beyond(columns[-1].axis, [sweep.value(trial) for trial in sweep.trials])
    lead += f" {outside} of the worst objectives lie beyond their axis and are drawn at its end." if outside else ""
    chart = _chart(sweep, columns)
    return Section("Hyper-parameters", joined(paragraph(lead), scrolled("Parallel coordinates", chart)))


def columns_of(sweep: SweepData) -> list[Column]:
    """The axes of all hyper-parameters that vary, then that of the objective; empty where nothing varies."""
    columns = [column for path in sweep.paths if (column := _column(sweep, path))]
    values = [sweep.value(trial) for trial in sweep.trials]
    goal = Column(sweep.metric, "", objective_axis(values, sweep.sign))
    return [*columns, goal] if columns else []


def varying(trials: Sequence[TrialData], path: str) -> list[Any]:
    """The values that trials have at a path; empty if it is one and the same for all."""
    values = [trial.config[path] for trial in trials if path in trial.config]
    same = len(values) == len(trials) and all(value == values[0] for value in values)
    return [] if same else values


def _column(sweep: SweepData, path: str) -> Column | None:
    values = varying(sweep.trials, path)
    name = short_names(sweep.paths)[path]
    return Column(name, path, axis_of(values)) if values else None


def _chart(sweep: SweepData, columns: list[Column]) -> Markup:
    width = max(WIDE, 2 * SIDE + APART * (len(columns) - 1))
    across = [SIDE + (width - 2 * SIDE) * place / (len(columns) - 1) for place in range(len(columns))]
    title = f"Parallel coordinates of {', '.join(column.name for column in columns)}"
    placed = list(zip(columns, across, strict=True))
    lines = [_line(sweep, placed, trial, place) for place, trial in enumerate(sweep.trials)]
    crowd = "many" if len(lines) > MANY else None
    body = element("title", title), element("g", *reversed(lines), class_=crowd), [_drawn(*each) for each in placed]
    return svg((width, HEIGHT, max(LEAST, width * 0.8 if width > WIDE else 0)), title, *body)


def _line(sweep: SweepData, placed: list[tuple[Column, float]], trial: TrialData, place: int) -> Markup:
    goal = sweep.value(trial)
    values = [*(trial.config.get(column.path, ABSENT) for column, _ in placed[:-1]), goal]
    points = [(x, _height(column.axis, value)) for (column, x), value in zip(placed, values, strict=True)]
    shade = sum(place / len(sweep.trials) >= share for share in SHADES)
    kind = f"q{shade}" if sweep.counts(trial) else "unranked"
    tip = f"{trial.title}  {sweep.metric} {show(goal)}"
    return element("path", d=path_of(points), class_=f"trial line {kind}", data_trial=trial.id, data_tip=tip)


def _height(axis: Axis, value: Any) -> float:
    share = None if value is ABSENT else axis.share(value)
    return HEIGHT - 10 if share is None else HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _drawn(column: Column, x: float) -> Markup:
    ticks: list[Child] = []
    for share, label in column.axis.ticks():
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        ticks += [line(x - 4, y, x, y, "tick"), text(x - 7, y + 4, cut(label, LONGEST), "end", class_="halo")]
    log = isinstance(column.axis, Numbers) and column.axis.log
    name = text(x, 16, cut(column.name, LONGEST), "middle", class_="name")
    full = element("title", column.path or column.name)
    scale = text(x, 31, "log", "middle") if log else None
    return element("g", full, name, scale, line(x, TOP, x, HEIGHT - BOTTOM, "axis"), ticks, class_="axes")
