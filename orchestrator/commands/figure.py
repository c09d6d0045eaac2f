"""The verb `figure`: draws a figure of a paper from the trained models of a sweep or run."""

from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator import terminal
from orchestrator.figures.output import files_of, save
from orchestrator.figures.table import FIGURES, draw, kind_of
from orchestrator.figures.trained import Choice, models_of, trained
from orchestrator.storage import layout, locks
from orchestrator.storage.disk import TRY_AGAIN, disk_errors_reported
from orchestrator.storage.sweep_folder import recorded_root
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import check_data, datasets, recorded_origin
from orchestrator.terminal import say
from trainables.common.records import summary


def figure(
    target: str, kind: str, workspace: Workspace, choice: Choice, file: Path | None, formats: Sequence[str]
) -> None:
    """Draw a figure of the sweep or run `target`, and print the names of its files. Raises UserError."""
    asked = kind_of(kind)
    folder, models = models_of(workspace.out, target, choice)
    files = files_of(file or folder / layout.FIGURES / kind, formats)
    with disk_errors_reported(folder, TRY_AGAIN), locks.driver(folder):
        root = workspace.data_root or recorded_root(folder)
        data = Workspace(workspace.out, root).data
        check_data(recorded_origin(folder), datasets(model.run for model, _ in models), data)
        shown = draw(asked, trained(folder, models, root, choice.checkpoint))
        written = save(shown, files)
    console = terminal.console()
    for line in (*shown.notes, *map(str, written)):
        say(console, line)


def print_kinds() -> None:
    """Print each kind of figure, the papers' figures that it draws, and what it shows."""
    for name, kind in FIGURES.items():
        click.echo(f"{name:<20} {kind.papers:<24} {summary_of(kind).rstrip('.')}")


def summary_of(kind: object) -> str:
    """The first line of the docstring of an object's class."""
    return summary(type(kind))
