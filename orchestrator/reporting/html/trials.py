"""The section with every trial: its seed, its epochs, the hours that it trained, and how it ended."""

import math
from collections.abc import Callable
from typing import Any

from orchestrator.reporting.html.content import SweepData, TrialData
from orchestrator.reporting.html.markup import Markup, Section, joined, paragraph
from orchestrator.reporting.html.tables import number, table, trial_cell
from orchestrator.space.trials import CONFIRM, SEARCH
from orchestrator.sweep.ranking import replicated
from orchestrator.text import counted, with_reason

TITLE = "Trials, seeds and hours"


def section(sweep: SweepData) -> Section:
    """A row for each trial."""
    if not sweep.trials:
        return Section(TITLE, paragraph("No trial has begun yet."))
    columns = [name for name in COLUMNS if name not in OPTIONAL or OPTIONAL[name](sweep)]
    header = [sweep.metric if name == OBJECTIVE else name for name in columns]
    rows = [[COLUMNS[name](sweep, trial) for name in columns] for trial in sweep.trials]
    ids = [trial.id for trial in sweep.trials]
    return Section(TITLE, joined(_lead(sweep), _budget(sweep), table("Trials", header, rows, ids)))


def trained_hours(sweep: SweepData) -> float:
    """Hours that the trials of this sweep trained, one after the other; those of reused trials do not count."""
    return sum(trial.hours for trial in sweep.trials if not _reused(trial) and math.isfinite(trial.hours))


def duration(hours: float) -> str:
    """Such as `2.4 h`, `3.1 min` and `12 s`."""
    if not math.isfinite(hours):
        return "unknown"
    for unit, size in (("h", 1.0), ("min", 60.0)):
        if hours * size >= 1:
            return f"{hours * size:.3g} {unit}"
    return f"{hours * 3600:.3g} s"


def _reused(trial: TrialData) -> bool:
    return bool(trial.entry.get("reused_from"))


def _lead(sweep: SweepData) -> Markup:
    seeds = sorted({trial.entry["seed"] for trial in sweep.trials if trial.entry.get("seed") is not None})
    shown = ", ".join(map(str, seeds[:10])) + (", ..." if len(seeds) > 10 else "")
    epochs = sum(trial.entry["epochs"] for trial in sweep.trials if not _reused(trial))
    words = f"All trials together trained {epochs} epochs in {duration(trained_hours(sweep))}"
    words += f" (one after the other) with {'the seed' if len(seeds) == 1 else 'the seeds'} {shown}."
    resources = sweep.spec.get("resources") or {}
    gpus = (resources.get("workers") or 1) * (resources.get("gpus_per_worker") or 0)
    words += f" Each had {counted(gpus, 'GPU')}: {trained_hours(sweep) * gpus:.3g} GPU hours." if gpus else ""
    if reused := sum(map(_reused, sweep.trials)):
        words += f" Not counted: {counted(reused, 'trial')} of earlier sweeps."
    unknown = sum(not trial.lines and trial.entry["epochs"] > 0 for trial in sweep.trials)
    words += f" The hours of {counted(unknown, 'trial')} are lost with their metrics.jsonl." if unknown else ""
    return paragraph(words)


def _budget(sweep: SweepData) -> Markup | None:
    known = sweep.results.get("budget")
    if not known:
        return None
    limits = {name.replace("_", " "): of for name, of in known.items() if name != "used_up"}
    parts = ", ".join(f"{of['spent']:.4g} of {of['limit']:g} {name}" for name, of in limits.items())
    return paragraph(f"Budget: {parts} used{': it is used up' if known.get('used_up') else ''}.")


def _status(trial: TrialData) -> str:
    return with_reason(trial.entry["status"], trial.entry["reason"])


def _hours(trial: TrialData) -> Markup:
    return number(trial.hours, "" if math.isnan(trial.hours) else f"{trial.hours:.4g}")


def _seconds(trial: TrialData) -> Markup:
    """Of an epoch, the mean."""
    seconds = 3600 * trial.hours / len(trial.lines) if trial.lines else math.nan
    return number(seconds, "" if math.isnan(seconds) else f"{seconds:.3g}")


OBJECTIVE = "objective"

COLUMNS: dict[str, Callable[[SweepData, TrialData], Any]] = {
    "trial": lambda sweep, trial: trial_cell(trial.id, sweep.colors.get(trial.id)),
    "configuration": lambda sweep, trial: trial.entry.get("configuration"),
    "seed": lambda sweep, trial: trial.entry.get("seed"),
    "stage": lambda sweep, trial: trial.entry.get("stage") or SEARCH,
    "status": lambda sweep, trial: _status(trial),
    "epochs": lambda sweep, trial: trial.entry["epochs"],
    "best epoch": lambda sweep, trial: trial.entry["best"].get("epoch"),
    OBJECTIVE: lambda sweep, trial: sweep.value(trial),
    "hours": lambda sweep, trial: _hours(trial),
    "s / epoch": lambda sweep, trial: _seconds(trial),
    "retries": lambda sweep, trial: trial.entry.get("retries"),
}
"""Header -> makes the cell of a trial."""

OPTIONAL: dict[str, Callable[[SweepData], bool]] = {
    "configuration": lambda sweep: replicated(sweep.results),
    "stage": lambda sweep: any(trial.entry.get("stage") == CONFIRM for trial in sweep.trials),
    "retries": lambda sweep: any(trial.entry.get("retries") for trial in sweep.trials),
}
"""Columns that a sweep may not need -> whether it does."""
