"""Sets the numbers of a sweep beside those that a paper prints for it, cell by cell, with a verdict by one rule.

`spec/published.py` holds the printed tables, `verdicts.py` the rule; `paper_formats.py` renders what is made here.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.reporting.verdicts import Sample, Verdict, judge
from orchestrator.space.trials import RunTable
from orchestrator.spec.evaluations import Checkpoint
from orchestrator.spec.published import PrintedNumber, PrintedTable
from orchestrator.spec.records import SweepSpec
from orchestrator.storage import layout
from orchestrator.storage.evaluations_file import StoredResult, epoch_meant, provenance_of
from orchestrator.storage.json_files import read_object
from orchestrator.sweep.ranking import UNSOUND, chosen_by
from orchestrator.sweep.single_run import home_of
from orchestrator.text import identity
from trainables.metrics.provenance import differences
from trainables.values import Value, value_named

TRAINED = re.compile(r"(run|search)[.=\[]")  # what begins so decides what a training is; all else, how many there are
NOT_COMPARABLE, NOT_MEASURED, NOT_TRAINED = "not comparable", "not measured", "not trained"


@dataclass(frozen=True)
class Training:
    """One training of a sweep: its run, its newest findings, and why its numbers are not those of the paper."""

    id: str
    config: dict[str, Any]
    """What varies in its sweep: path relative to `run` -> value."""
    run: dict[str, Any]
    findings: Sequence[StoredResult]
    flaws: tuple[str, ...]
    cut_short: str = ""
    """How long it was trained, where that is less than its run says, or it diverged or failed."""
    is_sound: bool = True
    """Whether it has neither diverged nor failed."""
    of: Checkpoint = "best"
    """The epoch of the model that was measured."""

    def finding(self, name: str) -> StoredResult | None:
        """The newest finding that has a finite value of this name."""
        having = (one for one in reversed(self.findings) if one["values"].get(name) is not None)
        return next(having, None)


@dataclass(frozen=True)
class JudgedCell:
    """A printed number and ours."""

    printed: PrintedNumber
    decimals: int
    """Digits after the point with which ours is shown: the most that are printed of this metric in the table."""
    other: Sample
    """What is printed."""
    value: str
    """The name of our number; another than the printed one's where it stands in for it."""
    ours: Sample | None
    """In the printed unit; None where there is no number."""
    verdict: Verdict | None
    """None where the numbers do not compare, or there is none of ours."""
    why: str = ""
    """Why there is no verdict or no number."""
    rests_on: str = ""
    """The provenance of our number, as a line."""

    @property
    def printed_decimals(self) -> int:
        """YAML drops a final 0, so a number that is printed with some digits has as many as others in its table."""
        return self.decimals if self.printed.decimals else 0

    @property
    def word(self) -> str:
        """The verdict, or what stands in its place."""
        if self.verdict:
            return self.verdict.word
        return NOT_COMPARABLE if self.ours else self.why

    @property
    def remark(self) -> str:
        """What is to be said of the verdict, such as why there is none."""
        return self.verdict.basis if self.verdict else self.why if self.ours else ""


@dataclass(frozen=True)
class JudgedTable:
    """A printed table and its cells, by row and column; a cell of which nothing is printed is absent."""

    printed: PrintedTable
    cells: dict[tuple[int, int], JudgedCell]


def trainings_of(results: dict[str, Any], folder: Path, spec: SweepSpec | None) -> list[Training]:
    """The trainings of results.json that have a model, with the findings about that of the epoch that the spec says.

    A configuration that was confirmed has those that confirm it alone.
    A run that was trained alone has no spec: its best epoch is meant. Raises UserError.
    """
    meant = spec.evaluate.checkpoint if spec and spec.evaluate else "best"
    cure = "Train the model again: a sweep or run that goes on writes it anew."
    found, biased = [], chosen_by(results)
    for trial in results["trials"]:
        if trial.get("checkpoint") and trial["id"] not in biased:
            run = read_object(home_of(folder, trial["id"]) / layout.CONFIG, cure)["run"]
            findings = [finding for finding in trial.get("evaluations", ()) if epoch_meant(finding) == meant]
            flaws = tuple(_flaws(trial, run, spec.overrides if spec else ()))
            cut, is_sound = _cut_short(trial, run), trial["status"] not in UNSOUND
            found.append(Training(trial["id"], trial["config"], run, findings, flaws, cut, is_sound, meant))
    return found


def _flaws(trial: dict[str, Any], run: dict[str, Any], overrides: Sequence[str]) -> Iterator[str]:
    if changed := [setting for setting in overrides if TRAINED.match(setting)]:
        yield f"trained with --set {', '.join(changed)}"
    if cut := _cut_short(trial, run):
        yield cut
    if more := trial.get("added_epochs"):
        yield f"trained for {more} epochs more than the spec says"
    rows = run["data"].get("train_rows")
    if rows and not any("train_rows" in one for one in overrides):
        yield f"trained on {rows:,} rows"


def _cut_short(trial: dict[str, Any], run: dict[str, Any]) -> str:
    if trial["status"] in UNSOUND:
        return f"{trial['status']} after {trial['epochs']} of {run['epochs']} epochs"
    ended = run.get("early_stopping") and trial["status"] == "completed"
    short = trial["epochs"] < run["epochs"] and not ended
    return f"trained for {trial['epochs']} of {run['epochs']} epochs" if short else ""


def judged(tables: Sequence[PrintedTable], trainings: Sequence[Training]) -> list[JudgedTable]:
    """The printed tables with our numbers."""
    runs = RunTable([one.run for one in trainings])
    return [_table(table, trainings, runs) for table in tables]


def _table(table: PrintedTable, trainings: Sequence[Training], runs: RunTable) -> JudgedTable:
    cells = list(table.cells())
    decimals = {
        metric: max(cell.decimals for cell in cells if cell.metric == metric) for metric in {c.metric for c in cells}
    }
    having = [[trainings[index] for index in runs.selected(one.of)] for one in cells]
    pairs = zip(cells, having, strict=True)
    made = {(one.row, one.column): _cell(one, table, decimals[one.metric], mine) for one, mine in pairs}
    return JudgedTable(table, made)


def _cell(printed: PrintedNumber, table: PrintedTable, decimals: int, mine: Sequence[Training]) -> JudgedCell:
    """A number beside ours, which are of the trainings `mine`."""
    other, value = Sample(printed.mean, printed.std, table.trainings), value_named(printed.metric)
    name = next((name for name in (value.name, *value.stand_ins()) if any(one.finding(name) for one in mine)), None)
    if name is None:
        why = NOT_MEASURED if mine else NOT_TRAINED
        undefined = next((reason for one in mine if (reason := _undefined(one, value))), "")
        return JudgedCell(printed, decimals, other, value.name, None, None, f"{why}: {undefined}" if undefined else why)
    having = [(one, finding) for one in mine if (finding := one.finding(name))]
    ours = Sample.of([printed.scale * finding["values"][name] for _, finding in having])
    why = "; ".join(dict.fromkeys(_reasons(value, name, having)))
    rounding = 0.5 * 10 ** -(decimals if printed.decimals else 0)
    verdict = None if why else judge(ours, other, value.kind.better, rounding)
    return JudgedCell(printed, decimals, other, name, ours, verdict, why, provenance_of(having[0][1]).line())


def _undefined(training: Training, value: Value) -> str:
    """Why an evaluation gave no number."""
    own = [finding["undefined"] for finding in training.findings if finding["metric"] == value.evaluation]
    return next((reason.partition(":")[0] for reason in reversed(own) if reason), "")


def _reasons(value: Value, name: str, having: Sequence[tuple[Training, StoredResult]]) -> Iterator[str]:
    """Why numbers do not compare with what is printed."""
    if len(configurations := {identity(training.config) for training, _ in having}) > 1:
        yield f"the mean of {len(configurations)} configurations"
    for training, finding in having:
        yield from training.flaws
        if provenance_of(finding).split == "val":
            yield "measured on validation rows, as these data have no test rows"
    if name != value.name:
        yield f"features: {value_named(name).features} in place of Inception's"
    if value.kind.unit == "s":
        yield "measured on another machine"
    (first, one), *others = having
    for training, finding in others:
        if unlike := differences(provenance_of(one), provenance_of(finding)):
            yield f"{first.id} and {training.id} were measured in different ways ({'; '.join(unlike)})"
            return
