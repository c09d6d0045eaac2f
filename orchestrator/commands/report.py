"""The verbs `report` and `compare`: a sweep beside its paper's tables, or on a page; two sweeps side by side."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from orchestrator.commands.evaluate import measure_models, reasons
from orchestrator.errors import UserError
from orchestrator.evaluation.models import ALL
from orchestrator.evaluation.selection import Selection
from orchestrator.reporting.html.page import as_html as as_page
from orchestrator.reporting.paper_formats import FORMATS, as_html, as_text
from orchestrator.reporting.paper_tables import JudgedTable, Training, judged, trainings_of
from orchestrator.reporting.sweeps_side_by_side import FORMATS as OF_TWO
from orchestrator.reporting.sweeps_side_by_side import side_by_side
from orchestrator.shell import command
from orchestrator.spec.records import SweepSpec
from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.folder import recorded_spec
from orchestrator.sweep.results import read_results
from orchestrator.terminal import console, say

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
    """Write the tables of the paper that the sweep `name` repeats, with our numbers, or all of it as a page.

    Returns what stopped measuring, or None. Raises UserError, and what `evaluate` raises.
    """
    out = workspace.out
    text = FORMS[wanted.form](out, name)
    if wanted.measured:
        progress = console(stderr=True)
        orders, ending = measure_models(name, workspace, Selection(trials=ALL), progress)
        for line in reasons(orders):
            say(progress, line)
        if stop := ending.judge(progress):
            return stop
        text = FORMS[wanted.form](out, name)
    deliver(text, wanted.file)
    return None


def page(out: Path, name: str) -> str:
    """All that is known of a sweep or run as one HTML file, with its paper's tables, if any. Raises UserError."""
    tables = tables_of(out, name)
    extra = [("The paper's tables", as_html(tables))] if tables else []
    return as_page((out / name).resolve(), extra)


def written(form: str, out: Path, name: str) -> str:
    """The paper's tables in a form. Raises UserError if there are none."""
    found = tables_of(out, name)
    if not found:
        cure = f"For any sweep: {command('report', name, out)} --format html"
        raise UserError(f"{name}: its spec has no `paper:` tables. {cure}")
    return as_text(found, console().width) if form == TERMINAL else FORMATS[form](found)


FORMS = {form: partial(written, form) for form in (TERMINAL, *FORMATS)} | {"html": page}


def tables_of(out: Path, name: str) -> list[JudgedTable]:
    """The paper's tables with our numbers; none for a sweep of no paper, and for a run. Raises UserError."""
    found = trainings(out, name)
    spec = spec_of(out, name)
    return judged(spec.paper, found) if spec else []


def compare(out: Path, names: tuple[str, str], wanted: Wanted) -> None:
    """Write what two sweeps have in common side by side, with verdicts. Raises UserError."""
    found = side_by_side(names, tuple(trainings(out, name) for name in names))
    text = OF_TWO[wanted.form](found, console().width)
    deliver(text, wanted.file)


def trainings(out: Path, name: str) -> list[Training]:
    """The trainings of a sweep or run. Raises UserError."""
    return trainings_of(read_results(out, name), (out / name).resolve(), spec_of(out, name))


def spec_of(out: Path, name: str) -> SweepSpec | None:
    """The spec of a sweep; None for a run that was trained alone. Raises UserError."""
    return recorded_spec(out / name) if (out / name / layout.SPEC).is_file() else None


def deliver(text: str, file: Path | None) -> None:
    """Write a text to a file, or to standard output. Raises UserError."""
    if file is None:
        click.echo(text, nl=False)
        return
    try:
        write_whole(file, text)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}. Choose another file for -o.") from None
