"""The section with every trial: its seed, its epochs, the hours that it trained, and how it ended."""

import math
from typing import Any

from orchestrator.reporting.html.content import NOT_ENDED, SweepData, TrialData
from orchestrator.reporting.html.markup import Markup, Section, joined, paragraph
from orchestrator.reporting.html.tables import number, table, trial_cell
from orchestrator.text import counted, with_reason

COLUMNS = ["trial", "configuration", "seed", "stage", "status"]


def section(sweep: SweepData) -> Section:
    objective = sweep.metric
    header = [*COLUMNS, "epochs", "best epoch", objective, "hours", "s / epoch", "retries"]
    rows = [_row(sweep, trial) for trial in sweep.trials]
    if not rows:
        return Section("Trials, seeds and hours", paragraph("No trial has begun yet."))
    ids = [trial.id for trial in sweep.trials]
    return Section("Trials, seeds and hours", joined(_lead(sweep), _budget(sweep), table("Trials", header, rows, ids)))


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


def _row(sweep: SweepData, trial: TrialData) -> list[Any]:
    entry, seconds = trial.entry, 3600 * trial.hours
    epochs = len(trial.lines)
    return [
        trial_cell(trial.id, sweep.colors.get(trial.id)),
        entry.get("configuration"),
        entry.get("seed"),
        entry.get("stage") or "search",
        with_reason(entry["status"], entry["reason"]) if entry["status"] != NOT_ENDED else NOT_ENDED,
        entry["epochs"],
        entry["best"].get("epoch"),
        sweep.value(trial),
        number(trial.hours, "" if math.isnan(trial.hours) else f"{trial.hours:.4g}"),
        number(seconds / epochs if epochs else math.nan, f"{seconds / epochs:.3g}" if epochs else ""),
        entry.get("retries"),
    ]
