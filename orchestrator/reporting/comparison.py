"""Compares findings about many models side by side. Numbers that were made in different ways do not share a row."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.reporting import tables
from orchestrator.storage.evaluations_file import EvaluatedModel, StoredResult, provenance_of
from orchestrator.storage.json_files import finite_or_null
from orchestrator.sweep.ranking import STOPPED, UNSOUND
from orchestrator.terminal import say
from orchestrator.text import show
from trainables.metrics.provenance import differences

SIDE_BY_SIDE = 8  # models that have a column each; more have a row each


@dataclass(frozen=True)
class Row:
    """One value of all models: its metric, its numbers by label and id, and their provenance as a line."""

    metric: str
    numbers: dict[str, dict[str, float]]
    rests_on: str


@dataclass(frozen=True)
class Comparison:
    """What was found for each label, value by value, and lines on what is missing, and on where files are."""

    labels: list[str]
    rows: dict[str, Row]
    missing: list[str]
    pictures: list[str]


def compare(models: Sequence[EvaluatedModel]) -> Comparison:
    """All values of all findings. A value whose provenance differs between models is left out, with the reason."""
    found = Comparison(list(dict.fromkeys(model.label for model in models)), {}, [], [])
    pairs = [(model, finding) for model in models for finding in model.findings]
    for metric in dict.fromkeys(finding["metric"] for _, finding in pairs):
        own = [(model, finding) for model, finding in pairs if finding["metric"] == metric]
        refused = []
        for name in dict.fromkeys(name for _, finding in own for name in finding["values"]):
            having = [(model, finding) for model, finding in own if name in finding["values"]]
            if why := _mixed(having):
                refused.append(f"{metric}: not compared: {why}")
            else:
                found.rows[name] = Row(metric, _numbers(name, having), provenance_of(having[0][1]).line())
        found.missing.extend(dict.fromkeys(refused))
        found.pictures.extend(
            f"{metric}: {kind} of {model.id} in {(model.folder / paths[0]).parent}"
            for model, finding in own
            for kind in ("pictures", "tables")
            if (paths := finding.get(kind))
        )
    found.missing.extend(_not_whole(models))
    found.missing.extend(_undefined(pairs))
    found.missing.extend(_lacking(pairs))
    return found


def _numbers(name: str, having: list[tuple[EvaluatedModel, StoredResult]]) -> dict[str, dict[str, float]]:
    """The numbers of one value by label and id; nan for a number that is not finite."""
    numbers: dict[str, dict[str, float]] = {}
    for model, finding in having:
        value = finding["values"][name]
        numbers.setdefault(model.label, {})[model.id] = math.nan if value is None else value
    return numbers


def _undefined(pairs: list[tuple[EvaluatedModel, StoredResult]]) -> list[str]:
    """A line for each reason, with all metrics that have it and the models that it holds for."""
    models: dict[tuple[str, str], list[str]] = {}
    for model, finding in pairs:
        if finding["undefined"]:
            models.setdefault((finding["metric"], finding["undefined"]), []).append(model.id)
    metrics: dict[tuple[str, str], list[str]] = {}
    for (metric, reason), ids in models.items():
        metrics.setdefault((", ".join(sorted(ids)), reason), []).append(metric)
    return [f"{', '.join(names)}: none for {ids}: {reason}" for (ids, reason), names in metrics.items()]


def _not_whole(models: Sequence[EvaluatedModel]) -> list[str]:
    """A line for models of trials that diverged or failed, and for means over whole trainings and others."""
    unsound = {model.id: model.status for model in models if model.status in UNSOUND}
    lines = [f"{id}: {status}: its numbers are of an epoch before that" for id, status in unsound.items()]
    several, stopped = Counter(model.label for model in models), {}
    for model in models:
        if model.status == STOPPED and several[model.label] > 1:
            stopped.setdefault(model.label, []).append(model.id)
    early = "a mean with trainings that were stopped early"
    return lines + [f"{label}: {early}: {', '.join(sorted(ids))}" for label, ids in stopped.items()]


def _lacking(pairs: list[tuple[EvaluatedModel, StoredResult]]) -> list[str]:
    """A line for each reason why a value is missing or bounded where others are not, with the models it holds for."""
    models: dict[tuple[str, str], list[str]] = {}
    for model, finding in pairs:
        if reason := finding.get("lacking"):
            models.setdefault((finding["metric"], reason), []).append(model.id)
    return [f"{metric}: {', '.join(ids)}: {reason}" for (metric, reason), ids in models.items()]


def _mixed(having: list[tuple[EvaluatedModel, StoredResult]]) -> str:
    """How the provenances of the first finding and of another differ; empty where all are alike."""
    (first, one), *others = having
    for model, other in others:
        if unlike := differences(provenance_of(one), provenance_of(other)):
            return f"{first.id} and {model.id} differ in {'; '.join(unlike)}."
    return ""


def cell(numbers: Collection[float]) -> str:
    """A number, or the mean of several with their standard deviation (of the population) and how many they are."""
    if not numbers:
        return ""
    if len(numbers) == 1:
        return show(next(iter(numbers)))
    return f"{show(statistics.fmean(numbers))} ± {show(statistics.pstdev(numbers))} ({len(numbers)})"


def grid(found: Comparison) -> list[list[str]]:
    """The numbers as text, header first: a column for each model where they are few, else a row."""
    rows = [
        [name, *(cell(row.numbers.get(label, {}).values()) for label in found.labels)]
        for name, row in found.rows.items()
    ]
    table = [["", *found.labels], *rows]
    return table if len(found.labels) <= SIDE_BY_SIDE else [list(row) for row in zip(*table, strict=True)]


def notes(found: Comparison) -> list[str]:
    """A line for each metric and provenance of its numbers, then what is missing and where pictures are."""
    ways: dict[tuple[str, str], list[str]] = {}
    for name, row in found.rows.items():
        ways.setdefault((row.metric, row.rests_on), []).append(name)
    count = Counter(metric for metric, _ in ways)
    lines = []
    for (metric, rests_on), names in ways.items():
        which = f" ({', '.join(names)})" if count[metric] > 1 else ""
        lines.append(f"{metric}{which}: {rests_on}")
    return [*lines, *found.missing, *found.pictures]


def as_table(found: Comparison, width: int) -> str:
    """The grid for a terminal of so many columns. Models have short names in it, and their full names below it."""
    header, *rows = grid(replace(found, labels=[_short(label) for label in found.labels], rows=_short_rows(found)))
    names = [label for label in found.labels if label != _short(label)]
    return "\n".join([*tables.blocks(header, rows, width), *names])


def _short(label: str) -> str:
    """The first word of `label_of`, which is enough to distinguish models."""
    return label.partition(" ")[0]


def _short_rows(found: Comparison) -> dict[str, Row]:
    return {
        name: replace(row, numbers={_short(label): numbers for label, numbers in row.numbers.items()})
        for name, row in found.rows.items()
    }


def as_markdown(found: Comparison) -> str:
    """The grid, and the notes below it."""
    header, *rows = grid(found)
    return "\n".join([tables.as_markdown(header, rows, align="---:"), *(f"- {note}" for note in notes(found))]) + "\n"


def as_csv(found: Comparison) -> str:
    """A line for each number, with full precision and its provenance."""
    rows = [
        [label, id, name, number, row.metric, row.rests_on]
        for name, row in found.rows.items()
        for label, numbers in row.numbers.items()
        for id, number in numbers.items()
    ]
    return tables.as_csv(["model", "trial", "value", "number", "metric", "provenance"], rows)


def as_json(found: Comparison) -> str:
    """All of the comparison; a number that is not finite is null."""
    values = {
        name: {
            "metric": row.metric,
            "numbers": {label: finite_or_null(numbers) for label, numbers in row.numbers.items()},
            "rests_on": row.rests_on,
        }
        for name, row in found.rows.items()
    }
    told = {"values": values, "missing": found.missing, "pictures": found.pictures}
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def print_all(found: Comparison, form: str, console) -> None:
    """Print the comparison: a table and notes on the rich console, any other form on standard output."""
    if form != TABLE:
        print(FORMATS[form](found), end="")
        return
    if found.rows:
        say(console, as_table(found, console.width))
    for line in notes(found):
        say(console, line)


TABLE = "table"
FORMATS: dict[str, Any] = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
