"""The verbs `report` and `compare`: a sweep beside its paper's tables, and two sweeps beside each other."""

from dataclasses import dataclass
from pathlib import Path

import click

from orchestrator.errors import UserError
from orchestrator.reporting.paper_formats import FORMATS, as_text
from orchestrator.reporting.paper_tables import JudgedTable, Training, judged, trainings_of
from orchestrator.reporting.sweeps_side_by_side import FORMATS as OF_TWO
from orchestrator.reporting.sweeps_side_by_side import side_by_side
from orchestrator.storage.json_files import write_whole
from orchestrator.sweep.folder import recorded_spec
from orchestrator.sweep.results import read_results
from orchestrator.terminal import console

TERMINAL = "terminal"


@dataclass(frozen=True)
class Wanted:
    """The form of a report, and the file that it is written to; None: standard output."""

    form: str
    file: Path | None


def report(out: Path, name: str, wanted: Wanted) -> None:
    """Write the tables of the paper that the sweep OUT/NAME repeats, with our numbers. Raises UserError."""
    found = tables_of(out, name)
    deliver(as_text(found, console().width) if wanted.form == TERMINAL else FORMATS[wanted.form](found), wanted.file)


def tables_of(out: Path, name: str) -> list[JudgedTable]:
    """The paper's tables with our numbers. Raises UserError."""
    results, folder = read_results(out, name), (out / name).resolve()
    spec = recorded_spec(folder)
    try:
        return judged(spec.paper, trainings_of(results, folder, spec.overrides))
    except UserError as error:
        raise UserError(f"{name}: {error}") from None


def compare(out: Path, names: tuple[str, str], wanted: Wanted) -> None:
    """Write what two sweeps have in common side by side, with verdicts. Raises UserError."""
    found = side_by_side(names, tuple(trainings(out, name) for name in names))
    text = OF_TWO[wanted.form](found, console().width)
    deliver(text, wanted.file)


def trainings(out: Path, name: str) -> list[Training]:
    """The trainings of a sweep, whatever settings it had: they are compared with another's. Raises UserError."""
    return trainings_of(read_results(out, name), (out / name).resolve(), ())


def deliver(text: str, file: Path | None) -> None:
    """Write a text to a file, or to standard output. Raises UserError."""
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        write_whole(file, text)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}. Choose another file for -o.") from None
