"""The verb `remove`: a sweep or run goes, with its runs and pictures in MLflow.

The order makes it safe to break off: first MLflow's, which the folder knows; then the folder leaves its place in one
step; then its files go. The same command goes on from wherever it was broken off.
"""

import shutil
import sys
from pathlib import Path

import click

from orchestrator.commands.target import errors_reported, folder_of, place_of, refuse_busy
from orchestrator.errors import UserError
from orchestrator.storage import layout, locks
from orchestrator.sweep.inventory import entry_of
from orchestrator.terminal import console, say
from orchestrator.text import on_disk
from orchestrator.tracking.identity import is_recorded
from orchestrator.tracking.managing import forget
from orchestrator.tracking.spool import TrackingError

KEEP = "To leave there what it has: --keep-mlflow"


def remove(name: str, out: Path, yes: bool, keep_mlflow: bool) -> None:
    """Remove the sweep or run OUT/NAME. It asks first, unless `yes`. Raises UserError."""
    place, half = place_of(out, name), out.resolve() / layout.REMOVED / name
    if half.is_dir():
        with errors_reported(half):
            _remove_files(half)
        say(console(), f"removed      what was left of {name}")
        if not place.exists():
            return
    folder = folder_of(out, name)
    if folder.is_symlink():
        raise UserError(f"{folder}: is a link to {folder.resolve()}. Remove that, then the link, by hand.")
    refuse_busy(folder)
    if not yes:
        _ask(folder, keep_mlflow)
    with errors_reported(folder):
        with locks.driver(folder):
            if not keep_mlflow:
                _forget(folder)
            half.parent.mkdir(exist_ok=True)
            folder.rename(half)
        _remove_files(half)
    say(console(), f"removed      {folder}")


def _ask(folder: Path, keep_mlflow: bool) -> None:
    """Show what is removed, and ask. Raises UserError where the answer is no, and where nobody can be asked."""
    entry, to = entry_of(folder), console(stderr=True)
    say(to, f"remove       {folder}: a {entry.kind}, {entry.state}, {on_disk(entry.bytes)}")
    if is_recorded(folder) and not keep_mlflow:
        say(to, "             with its runs and pictures in MLflow")
    if not sys.stdin.isatty():
        raise UserError("This cannot be undone, and nobody can be asked here: add --yes.")
    if not click.confirm("Remove it?", err=True):
        raise UserError("Nothing was removed.")


def _forget(folder: Path) -> None:
    try:
        forget(folder)
    except TrackingError as error:
        raise UserError(*error.lines, f"Nothing of {folder} was removed. {KEEP}") from None


def _remove_files(half: Path) -> None:
    """Remove the files of a folder that has left its place. Raises OSError."""
    shutil.rmtree(half)
    if not any(half.parent.iterdir()):
        half.parent.rmdir()
