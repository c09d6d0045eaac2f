"""One trial of a sweep, or a run that was trained alone: its settings, its best and last epoch, evaluations, files."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.reporting import tables
from orchestrator.reporting.html.content import SweepData, TrialData, read_sweep
from orchestrator.shell import command_for
from orchestrator.spec.diagnostics import cure
from orchestrator.storage import layout
from orchestrator.storage.blobs import exists
from orchestrator.storage.evaluations_file import epoch_meant, with_findings
from orchestrator.storage.json_files import finite_or_null, read_object
from orchestrator.storage.metric_lines import COUNTS
from orchestrator.text import counted, listed, show, with_reason

FILES = {
    "checkpoint": layout.BEST,
    "last_epoch": layout.CHECKPOINT,
    "pictures": layout.PICTURES,
    "config": layout.CONFIG,
    "metrics": layout.METRICS,
    "evaluations": layout.EVALUATIONS,
    "error": layout.ERROR,
}
"""Name -> the file of a trial, or its folder, that is shown under it."""


@dataclass(frozen=True)
class Sheet:
    """What is known of a trial or run."""

    name: str
    """SWEEP/ID, or the name of the run."""
    metric: str
    """The objective."""
    entry: dict[str, Any]
    """As in results.json."""
    run: dict[str, Any]
    """The whole Run, in plain values; empty where config.json is lost."""
    lines: list[dict[str, float]]
    """Of metrics.jsonl."""
    files: dict[str, str]
    """Those that there are, by FILES, and the `folder`."""

    def at(self, epoch: int | None) -> dict[str, float]:
        """The metrics after an epoch, the objective first; none for an epoch that it has not."""
        found = next((line for line in self.lines if line["epoch"] == epoch), {})
        names = sorted(found.keys() - {*COUNTS}, key=lambda name: (name != self.metric, name))
        return {name: found[name] for name in names}

    @property
    def epochs(self) -> dict[str, int]:
        """`best` and `last` -> the number of that epoch, if it has one."""
        known = {"best": self.entry["best"].get("epoch"), "last": self.lines[-1]["epoch"] if self.lines else None}
        return {name: epoch for name, epoch in known.items() if epoch is not None}

    @property
    def numbers(self) -> list[tuple[str, float]]:
        """The numbers that were measured of it, by name; those of its last epoch's model as `NAME@last`."""
        found = [(finding, epoch_meant(finding)) for finding in self.entry.get("evaluations", ())]
        return [
            (name if of == "best" else f"{name}@{of}", math.nan if value is None else value)
            for finding, of in found
            for name, value in finding["values"].items()
        ]


def sheet_of(folder: Path, trial: str | None) -> Sheet:
    """The sheet of a trial of the sweep in `folder`, by its id; None: of the run there. Raises UserError."""
    sweep = read_sweep(folder)
    found = next((each for each in sweep.trials if each.id == (trial or folder.name)), None)
    if found is None:
        known = cure(str(trial), [each.id for each in sweep.trials])
        raise UserError(f"{folder.name}/{trial}: no trial of {folder.name} that has begun. {known}")
    return _sheet(sweep, found, trial)


def _sheet(sweep: SweepData, trial: TrialData, id: str | None) -> Sheet:
    home = trial.folder
    config = home / layout.CONFIG
    again = f"Written anew by: {command_for('resume', sweep.folder)}"
    run = read_object(config, again).get("run") or {} if config.is_file() else {}
    there = {name: str(home / file) for name, file in FILES.items() if exists(home / file) or (home / file).is_dir()}
    name = f"{sweep.folder.name}/{id}" if id else sweep.folder.name
    return Sheet(name, sweep.metric, with_findings(trial.entry, home), run, trial.lines, {"folder": str(home)} | there)


def as_table(sheet: Sheet, width: int) -> str:
    """The sheet for a terminal of so many columns."""
    entry, (header, rows) = sheet.entry, _epochs(sheet)
    facts = [("configuration", listed(entry["config"])), ("seed", show(entry.get("seed")))]
    facts += [(key, _flow(value)) for key, value in sheet.run.items() if key != "seed"]
    numbers = [[name, show(value)] for name, value in sheet.numbers]
    parts = [
        [f"{sheet.name}: {with_reason(entry['status'], entry['reason'])}, {counted(entry['epochs'], 'epoch')}"],
        [f"{name:<14} {text}" for name, text in facts if text],
        tables.blocks(["", *header], rows, width) if rows else [],
        tables.blocks(["evaluation", "value"], numbers, width) if numbers else [],
        [f"{name:<14} {file}" for name, file in sheet.files.items()],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def as_markdown(sheet: Sheet) -> str:
    """The metrics of the best and the last epoch, and the evaluations."""
    header, rows = _epochs(sheet)
    numbers = [[name, show(value)] for name, value in sheet.numbers]
    parts = [tables.as_markdown([sheet.name, *header], rows, align="---:")] if rows else []
    parts += [tables.as_markdown(["evaluation", "value"], numbers, align="---:")] if numbers else []
    return "\n".join(parts)


def as_json(sheet: Sheet) -> str:
    """All of the sheet; a number that is not finite is null."""
    found = {
        "name": sheet.name,
        **{key: value for key, value in sheet.entry.items() if key not in ("best", "last", "checkpoint")},
        "run": sheet.run,
        "epoch": sheet.epochs,
        "metrics": {name: finite_or_null(sheet.at(epoch)) for name, epoch in sheet.epochs.items()},
        "files": sheet.files,
    }
    return json.dumps(found, indent=2) + "\n"


def as_csv(sheet: Sheet) -> str:
    """A line for each epoch, with all its metrics."""
    names = list(dict.fromkeys(name for line in sheet.lines for name in line))
    return tables.as_csv(names, [[line.get(name) for name in names] for line in sheet.lines])


def _epochs(sheet: Sheet) -> tuple[list[str], list[list[str]]]:
    """The metrics of the best and the last epoch as text: a header, and a row for each metric."""
    shown = {f"{name} (epoch {epoch})": sheet.at(epoch) for name, epoch in sheet.epochs.items()}
    names = list(dict.fromkeys(name for metrics in shown.values() for name in metrics))
    return list(shown), [[name, *(show(metrics.get(name)) for metrics in shown.values())] for name in names]


def _flow(value: Any) -> str:
    """A value of a Run as one writes it in YAML, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return "null" if value is None else show(value)


FORMATS: dict[str, Callable[[Sheet], str]] = {"json": as_json, "csv": as_csv, "markdown": as_markdown}
