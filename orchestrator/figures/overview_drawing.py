"""Draws the objective of all trials of a sweep: over their epochs, and against their hyper-parameters."""

from __future__ import annotations

import math
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.figures.drawing import COLOURS
from orchestrator.reporting.html.axes import Numbers, is_finite, objective_axis
from orchestrator.reporting.html.charts import thinned
from orchestrator.reporting.html.content import COLORED, SweepData, TrialData
from orchestrator.reporting.html.parallel import ABSENT, Column, columns_of
from orchestrator.text import cut

POINTS, FEWEST_POINTS = 6_000, 12  # of all curves together, and of one
MARGIN = 0.04  # beyond the worst and the best value, of their distance
OTHERS = "0.75"
LONGEST_TITLE, LONGEST_TICK = 70, 16  # characters
APART, SIDE, HEIGHT = 1.5, 1.2, 4.8  # inches: between two parallel axes, beside the outer ones, of the picture
MOST_AXES = 24  # hyper-parameters; more would not fit a picture
BELOW = -0.09  # where a trial passes below an axis on which it has no value
TOP = 1.07  # of the names


def curves(sweep: SweepData) -> Figure:
    """The objective after each epoch, a line for each trial: the best have colours, the very best is thick."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    trials = [trial for trial in sweep.trials if trial.curve(sweep.metric)]
    most = max(FEWEST_POINTS, POINTS // len(trials))
    best = [trial for trial in trials if sweep.counts(trial)][:COLORED]
    for trial in trials:
        if trial not in best:
            _curve(axes, sweep, trial, most, color=OTHERS, linewidth=0.7, zorder=1)
    for place, trial in reversed(list(enumerate(best))):
        look = {
            "linewidth": 1.2 if place else 2.4,
            "zorder": 3 - place / COLORED,
            "label": cut(trial.title, LONGEST_TITLE),
        }
        _curve(axes, sweep, trial, most, color=COLOURS[place], **look)
    span = objective_axis([value for trial in trials for _, value in trial.curve(sweep.metric)], sweep.sign)
    margin = MARGIN * (span.high - span.low)
    axes.set(xlabel="epoch", ylabel=sweep.metric, ylim=(span.low - margin, span.high + margin))
    axes.set_xlim(1, max(2, *(epoch for trial in trials for epoch, _ in trial.curve(sweep.metric))))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_axisbelow(True)
    axes.grid(color="0.93")
    axes.set_title(_title(sweep, len(trials)), fontsize="medium", parse_math=False)
    if best and len(sweep.results["trials"]) > 1:
        handles, labels = axes.get_legend_handles_labels()
        legend = figure.legend(handles[::-1], labels[::-1], loc="outside lower left", fontsize="small", frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a value may hold `$`
    return figure


def _curve(axes: Axes, sweep: SweepData, trial: TrialData, most: int, **look: Any) -> None:
    points = [(epoch, value if is_finite(value) else math.nan) for epoch, value in trial.curve(sweep.metric)]
    marker = "." if sum(math.isfinite(value) for _, value in points) < 3 else None  # a single point has no line
    axes.plot(*zip(*thinned(points, most), strict=True), marker=marker, **look)


def parallel(sweep: SweepData) -> Figure:
    """A line for each trial, through its hyper-parameters to its objective, in a colour by its rank."""
    columns = columns_of(sweep)
    columns = [*columns[: min(len(columns) - 1, MOST_AXES)], columns[-1]]
    figure = Figure(figsize=(2 * SIDE + APART * max(len(columns) - 1, 3), HEIGHT))
    axes = figure.add_axes((SIDE / figure.get_figwidth(), 0.09, 1 - 2 * SIDE / figure.get_figwidth(), 0.82))
    for place, trial in reversed(list(enumerate(sweep.trials))):
        _line(axes, sweep, columns, trial, place)
    for place, column in enumerate(columns):
        _axis(axes, column, place)
    axes.set(xlim=(0, len(columns) - 1), ylim=(BELOW - 0.02, TOP))
    axes.set_axis_off()
    figure.suptitle(_title(sweep, len(sweep.trials)), fontsize="medium", parse_math=False)
    figure.text(0.5, 0.02, _caption(sweep), ha="center", fontsize="x-small", color="0.3", parse_math=False)
    return figure


def _caption(sweep: SweepData) -> str:
    """What the colours mean."""
    best = next((trial for trial in sweep.trials if sweep.counts(trial)), None)
    told = [f"red: {cut(best.title, LONGEST_TITLE)}; blue: the darker, the better"] if best else []
    odd = [] if all(map(sweep.counts, sweep.trials)) else ["dashed: without an objective, or gone wrong"]
    return "; ".join(told + odd)


def _line(axes: Axes, sweep: SweepData, columns: list[Column], trial: TrialData, place: int) -> None:
    values = [*(trial.config.get(column.path, ABSENT) for column in columns[:-1]), sweep.value(trial)]
    shares = [_share(column, value) for column, value in zip(columns, values, strict=True)]
    if not sweep.counts(trial):
        look: dict[str, Any] = {"color": "0.6", "linestyle": "--", "linewidth": 0.8, "zorder": 1}
    elif place == 0:
        look = {"color": COLOURS[1], "linewidth": 2.4, "zorder": 3}
    else:
        shade = 0.95 - 0.75 * place / len(sweep.trials)
        look = {"color": colormaps["Blues"](shade), "linewidth": 1.0, "zorder": 1 + shade}
    axes.plot(range(len(columns)), shares, clip_on=False, **look)


def _share(column: Column, value: Any) -> float:
    share = None if value is ABSENT else column.axis.share(value)
    return BELOW if share is None else share


def _axis(axes: Axes, column: Column, place: int) -> None:
    look = {"parse_math": False, "zorder": 5, "bbox": {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6}}
    axes.plot([place, place], [0, 1], color="0.2", linewidth=1.0, zorder=4, clip_on=False)
    for share, label in column.axis.ticks():
        axes.plot([place - 0.02, place], [share, share], color="0.2", linewidth=1.0, zorder=4, clip_on=False)
        text = cut(label, LONGEST_TICK)
        axes.text(place - 0.04, share, text, ha="right", va="center", fontsize="x-small", **look)
    log = " (log)" if isinstance(column.axis, Numbers) and column.axis.log else ""
    name = cut(column.name, LONGEST_TICK) + log
    axes.text(place, TOP, name, ha="center", va="center", fontsize="small", parse_math=False)


def _title(sweep: SweepData, drawn: int) -> str:
    """The name of the sweep and, where not all trials are drawn, how many are."""
    all_trials = len(sweep.results["trials"])
    count = f"the best {drawn} of {all_trials} trials" if drawn < all_trials else f"{drawn} trials"
    return cut(f"{sweep.results['name']}: {count}" if all_trials > 1 else sweep.results["name"], LONGEST_TITLE)
