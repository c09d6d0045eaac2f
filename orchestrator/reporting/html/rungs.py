"""The section with the rungs of a scheduler that stops trials early: which of them were promoted where."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import UserError
from orchestrator.reporting.html.axes import Labels, objective_axis
from orchestrator.reporting.html.charts import Plot, beyond, path_of
from orchestrator.reporting.html.content import SweepData, TrialData
from orchestrator.reporting.html.curves import legend
from orchestrator.reporting.html.markup import Markup, Section, element, joined, paragraph, scrolled
from orchestrator.reporting.html.tables import table
from orchestrator.schedulers.base import CONTINUE, STOP
from orchestrator.schedulers.table import SCHEDULERS
from orchestrator.space.trials import CONFIRM
from orchestrator.storage import layout
from orchestrator.text import show
from trainables.common.records import name_of

TITLE = "Rungs"
MOST_NAMED = 12  # trials of a rung whose ids are listed
RADIUS = 4.0


@dataclass
class RungData:
    """What happened at a rung of a bracket."""

    epoch: int
    bracket: tuple[int, ...]
    """The epochs of all rungs of its bracket."""
    values: dict[str, float] = field(default_factory=dict)
    """The objective there, of the trials that reached it; NaN where it was not finite."""
    went_on: dict[str, str] = field(default_factory=dict)
    """The trials that trained further, and how they came to: "promoted", "closing" or "reused"."""


def section(sweep: SweepData) -> Section | None:
    """None for a run that was trained alone; a sentence for a scheduler that stops no trial."""
    if not sweep.spec.get("scheduler"):
        return None
    name = sweep.spec["scheduler"].get("name")
    rungs = rungs_of(sweep)
    if not rungs:
        return Section(TITLE, paragraph(f"No trial was compared with others at a rung (scheduler: {name})."))
    lead = f"{name} compares trials at its rungs by {sweep.metric} at that epoch. A full dot went on from there, a ring"
    lead += " stayed. The last column is where those that went on are now."
    brackets = dict.fromkeys(rung.bracket for rung in rungs)
    charts = [_chart(sweep, [rung for rung in rungs if rung.bracket == bracket]) for bracket in brackets]
    return Section(TITLE, joined(paragraph(lead), legend(sweep), charts, _table(sweep, rungs, len(brackets) > 1)))


def rungs_of(sweep: SweepData) -> list[RungData]:
    """The rungs that a trial has reached, by bracket and epoch, as the journal records them."""
    core = _core(sweep)
    apart = {trial.id for trial in sweep.trials if trial.entry.get("stage") == CONFIRM}
    rungs: dict[tuple[tuple[int, ...], int], RungData] = {}
    epochs: dict[str, int] = {}

    def reach(trial: str, epoch: int, value: float) -> None:
        bracket = tuple(core.rungs_of(int(trial)))
        epochs[trial] = epoch
        if epoch in bracket and trial not in apart:
            rung = rungs.setdefault((bracket, epoch), RungData(epoch, bracket))
            rung.values.setdefault(trial, value)

    def pass_on(trial: str, how: str) -> None:
        rung = rungs.get((tuple(core.rungs_of(int(trial))), epochs.get(trial, 0)))
        if rung and trial in rung.values:
            rung.went_on.setdefault(trial, how)

    for event in sweep.events:
        if event["event"] == "extended":  # no scheduler judges what is trained for longer
            apart |= event["longer"].keys()
        _apply(event, reach, pass_on, sweep.metric)
    return [rungs[key] for key in sorted(rungs)]


def _apply(
    event: dict[str, Any],
    reach: Callable[[str, int, float], None],
    pass_on: Callable[[str, str], None],
    metric: str,
) -> None:
    """Pass on what an event of the journal says of rungs: that a trial reached one, or went on from one."""
    kind, answer = event["event"], event.get("answer")
    if kind == "epoch":
        reach(event["trial"], event["epoch"], event["metrics"].get(metric, math.nan))
        if answer in (CONTINUE, STOP):
            pass_on(event["trial"], "promoted")
    elif kind == "reused":
        for epoch, metrics in enumerate(event["epochs"], start=1):
            reach(event["trial"], epoch, metrics.get(metric, math.nan))
            pass_on(event["trial"], "reused")
    elif kind in ("promoted", "closing") and answer is not None:
        pass_on(f"{answer:04d}", kind)


def _core(sweep: SweepData):
    """The scheduler as the spec has it, which knows its rungs. Raises UserError."""
    known = {name_of(record): record for record in SCHEDULERS}
    written = sweep.spec["scheduler"]
    try:
        record = known[written["name"]].model_validate(written)
        return record.resolved(sweep.spec["run"]["epochs"]).build(sweep.results["objective"]["mode"])
    except (ValidationError, LookupError, TypeError):
        raise UserError(f"{sweep.folder / layout.SPEC}: scheduler: is damaged, or of another version.") from None


def _chart(sweep: SweepData, rungs: Sequence[RungData]) -> Markup:
    """The objective at each rung, a line for each trial, and where those that went on from the last rung are now."""
    reached = [(str(rung.epoch), rung.values, rung.went_on) for rung in rungs]
    now = {
        id: (trial.entry.get("last") or {}).get(sweep.metric)
        for trial in sweep.trials
        if (id := trial.id) in rungs[-1].went_on
    }
    columns = [*reached, ("now", now, now)] if now else reached
    values = [value for _, found, _ in columns for value in found.values() if value is not None]
    plot = Plot(Labels(tuple(name for name, *_ in columns)), objective_axis(values, sweep.sign), "epoch", sweep.metric)
    title = f"{sweep.metric} at the rungs {', '.join(name for name, *_ in columns)}"
    trials = [trial for trial in reversed(sweep.trials) if any(trial.id in found for _, found, _ in columns)]
    marks = [_marks(sweep, plot, trial, columns) for trial in trials]
    outside = beyond(plot.y, values)
    caption = [f"Trials that are first compared at epoch {rungs[0].epoch}."]
    caption += [f"{outside} of {len(values)} values lie beyond the axis and are drawn at its end."] if outside else []
    return element("figure", element("figcaption", " ".join(caption)), scrolled(title, plot.drawn(title, *marks)))


def _marks(sweep: SweepData, plot: Plot, trial: TrialData, columns: Sequence[tuple]) -> Markup:
    """A trial's line, and a dot at each rung that it reached: full where it went on."""
    color = sweep.colors.get(trial.id, "")
    own = [(name, found[trial.id], trial.id in on) for name, found, on in columns if trial.id in found]
    places = [(plot.at(name, value), on) for name, value, on in own]
    dots = [
        element("circle", cx=at[0], cy=at[1], r=RADIUS, class_="went-on" if on else "stayed") for at, on in places if at
    ]
    tip = f"{trial.title}  " + ", ".join(f"{name}: {show(value)}" for name, value, _ in own)
    path = element("path", d=path_of([at for at, _ in places]), class_="line")
    return element("g", path, dots, class_=f"trial {color}".strip(), data_trial=trial.id, data_tip=tip)


def _table(sweep: SweepData, rungs: Sequence[RungData], several: bool) -> Markup:
    header = ["bracket", "epoch", "reached it", "went on", "by closing", f"best {sweep.metric}", "worst that went on"]
    rows = []
    for rung in rungs:
        on = {id: rung.values[id] for id in rung.went_on}
        closing = sum(how == "closing" for how in rung.went_on.values())
        best, worst = _extreme(rung.values.values(), sweep.sign), _extreme(on.values(), -sweep.sign)
        counts = rung.epoch, len(rung.values), len(on), closing
        rows.append([f"from {rung.bracket[0]}", *counts, best, worst, _named(on)])
    header = [*header, "which"]
    return table(TITLE, header if several else header[1:], rows if several else [row[1:] for row in rows])


def _extreme(values: Iterable[float], sign: float) -> float:
    """The highest of the finite values, with sign -1 the lowest; NaN if there is none."""
    return sign * max((sign * value for value in values if math.isfinite(value)), default=math.nan)


def _named(trials: dict[str, float]) -> Markup:
    more = f" and {len(trials) - MOST_NAMED} more" if len(trials) > MOST_NAMED else ""
    return element("td", ", ".join(sorted(trials)[:MOST_NAMED]) + more, class_="words")
