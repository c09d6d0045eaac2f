"""Findings of many models side by side. Numbers that were made in different ways are not put into one row."""

import csv
import io
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from orchestrator.errors import UserError
from orchestrator.findings import Finding
from orchestrator.results import listed, show
from orchestrator.standings import ranked, replicated
from trainables.metrics.provenance import Provenance, differences

SIDE_BY_SIDE = 8  # models that have a column each; more have a row each


@dataclass(frozen=True)
class Measured:
    """A trained model, or, of several seeds, one of a configuration's: `label` is what they are called together."""

    label: str
    id: str
    findings: Sequence[Finding]


@dataclass(frozen=True)
class Comparison:
    """Value by value what was found of each label, how it was made, and what there is no number for."""

    labels: list[str]
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # value -> label -> numbers, one for each id
    metrics: dict[str, str] = field(default_factory=dict)  # value -> the metric that it is of
    made: dict[str, str] = field(default_factory=dict)  # metric -> its provenance
    missing: list[str] = field(default_factory=list)  # lines that say what is not in `rows`, and why


def compare(models: Sequence[Measured]) -> Comparison:
    """All findings, metric by metric. Those of one metric whose provenances differ are refused with the reason."""
    found = Comparison(list(dict.fromkeys(model.label for model in models)))
    pairs = [(finding["metric"], model, finding) for model in models for finding in model.findings]
    for metric in dict.fromkeys(metric for metric, *_ in pairs):
        own = [(model, finding) for name, model, finding in pairs if name == metric]
        found.missing.extend(_undefined(metric, own))
        defined = [(model, finding) for model, finding in own if finding["values"]]
        if why := _mixed(defined):
            found.missing.append(f"{metric}: not compared: {why}")
        elif defined:
            found.made[metric] = provenance_of(defined[0][1]).line()
            _fill(found, metric, defined)
    return found


def of_results(results: dict[str, Any]) -> Comparison:
    """The findings that results.json holds, best trials first. Raises UserError where there are none."""
    several = replicated(results)
    trials = [trial for trial in ranked(results) if "evaluations" in trial]
    if not trials:
        raise UserError(f"{results['name']}: nothing was evaluated yet: vaeorch evaluate {results['name']}.")
    return compare([Measured(label_of(trial, several), trial["id"], trial["evaluations"]) for trial in trials])


def label_of(trial: dict[str, Any], several_seeds: bool) -> str:
    """What a trial of results.json is called beside others; those of one configuration have one name."""
    name = f"#{trial['configuration']}" if several_seeds else trial["id"]
    return f"{name} {listed(trial['config'])}".strip()


def provenance_of(finding: Finding) -> Provenance:
    """What a finding rests on, out of plain values."""
    return Provenance.from_plain(finding["provenance"])


def _fill(found: Comparison, metric: str, defined: list[tuple[Measured, Finding]]) -> None:
    for model, finding in defined:
        for name, value in finding["values"].items():
            found.metrics[name] = metric
            numbers = found.rows.setdefault(name, {}).setdefault(model.label, [])
            numbers.append(math.nan if value is None else value)


def _undefined(metric: str, own: list[tuple[Measured, Finding]]) -> list[str]:
    """A line for each reason, with the models that it holds for."""
    reasons = sorted((finding["undefined"], model.id) for model, finding in own if finding["undefined"])
    return [
        f"{metric}: none for {', '.join(id for _, id in some)}: {reason}"
        for reason, some in groupby(reasons, lambda pair: pair[0])
    ]


def _mixed(defined: list[tuple[Measured, Finding]]) -> str:
    """How the provenance of the first finding and of another differ; empty where all are alike."""
    for model, finding in defined[1:]:
        first = defined[0]
        unlike = differences(provenance_of(first[1]), provenance_of(finding))
        if unlike:
            return f"{first[0].id} and {model.id} differ in {'; '.join(unlike)}."
    return ""


def cell(numbers: list[float] | None) -> str:
    """A number, or the mean of several with their standard deviation (of the population) and how many they are."""
    if not numbers:
        return ""
    if len(numbers) == 1:
        return show(numbers[0])
    return f"{show(statistics.fmean(numbers))} ± {show(statistics.pstdev(numbers))} ({len(numbers)})"


def grid(found: Comparison) -> list[list[str]]:
    """The numbers as text, header first: a column for each model where they are few, else a row."""
    rows = [[name, *(cell(of.get(label)) for label in found.labels)] for name, of in found.rows.items()]
    table = [["", *found.labels], *rows]
    return table if len(found.labels) <= SIDE_BY_SIDE else [list(row) for row in zip(*table, strict=True)]


def notes(found: Comparison) -> list[str]:
    """What the numbers rest on, a line for each metric, and what is missing."""
    return [*(f"{metric}: {line}" for metric, line in found.made.items()), *found.missing]


def as_table(found: Comparison):
    """The grid as a rich table."""
    from rich.table import Table

    header, *rows = grid(found)
    table = Table(box=None)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def as_markdown(found: Comparison) -> str:
    header, *rows = grid(found)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([*table, "", *(f"- {note}" for note in notes(found))]) + "\n"


def as_csv(found: Comparison) -> str:
    """A line for each number, with full precision and what it rests on."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "value", "number", "metric", "provenance"])
    for name, of in found.rows.items():
        rests_on = found.metrics[name], found.made[found.metrics[name]]
        writer.writerows([label, name, number, *rests_on] for label, numbers in of.items() for number in numbers)
    return text.getvalue()


def as_json(found: Comparison) -> str:
    """All of it; a number that is not finite is null."""
    rows = {
        name: {label: [None if math.isnan(number) else number for number in numbers] for label, numbers in of.items()}
        for name, of in found.rows.items()
    }
    known = {"values": rows, "metrics": found.metrics, "provenance": found.made, "missing": found.missing}
    return json.dumps(known, indent=2, allow_nan=False) + "\n"


def print_all(found: Comparison, form: str, console) -> None:
    """The numbers and what they rest on, on the rich console where a table is wanted, else on standard output."""
    if form != TABLE:
        print(FORMATS[form](found), end="")
        return
    console.print(as_table(found))
    for line in notes(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


TABLE = "table"
FORMATS: dict[str, Any] = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
