"""The verbs `report` and `compare`: a sweep beside its paper's tables, and two sweeps beside each other."""

from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator.commands.evaluate import measure_models
from orchestrator.errors import UserError
from orchestrator.evaluation.models import ALL
from orchestrator.evaluation.selection import Selection
from orchestrator.reporting.paper_formats import FORMATS, as_text
from orchestrator.reporting.paper_tables import JudgedTable, Training, judged, trainings_of
from orchestrator.reporting.sweeps_side_by_side import FORMATS as OF_TWO
from orchestrator.reporting.sweeps_side_by_side import side_by_side
from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.folder import recorded_spec
from orchestrator.sweep.results import read_results
from orchestrator.terminal import console

TERMINAL = "terminal"


@dataclass(frozen=True)
class Wanted:
    """What a report is to be."""

    form: str
    file: Path | None
    """Where it is written; None: standard output."""
    measured: bool = False
    """Whether what is missing is measured first."""


def report(workspace: Workspace, name: str, wanted: Wanted) -> KeyboardInterrupt | None:
    """Write the tables of the paper that the sweep `name` repeats, with our numbers.

    Returns what stopped measuring, or None. Raises UserError, and what `evaluate` raises.
    """
    out = workspace.out
    if wanted.measured:
        progress = console(stderr=True)
        _, ending = measure_models(name, workspace, Selection(trials=ALL), progress)
        if stop := ending.judge(progress):
            return stop
    found = tables_of(out, name)
    deliver(as_text(found, console().width) if wanted.form == TERMINAL else FORMATS[wanted.form](found), wanted.file)
    return None


def tables_of(out: Path, name: str) -> list[JudgedTable]:
    """The paper's tables with our numbers. Raises UserError."""
    results, folder = read_results(out, name), (out / name).resolve()
    spec = recorded_spec(folder)
    try:
        return judged(spec.paper, trainings_of(results, folder, spec))
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def compare(out: Path, names: tuple[str, str], wanted: Wanted) -> None:
    """Write what two sweeps have in common side by side, with verdicts. Raises UserError."""
    found = side_by_side(names, tuple(trainings(out, name) for name in names))
    text = OF_TWO[wanted.form](found, console().width)
    deliver(text, wanted.file)


def trainings(out: Path, name: str) -> list[Training]:
    """The trainings of a sweep or run. Raises UserError."""
    folder = (out / name).resolve()
    spec = recorded_spec(folder) if (folder / layout.SPEC).is_file() else None
    return trainings_of(read_results(out, name), folder, spec)


def deliver(text: str, file: Path | None) -> None:
    """Write a text to a file, or to standard output. Raises UserError."""
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        write_whole(file, text)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}. Choose another file for -o.") from None
