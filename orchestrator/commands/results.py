"""The verb `results`: the leaderboard of a sweep, one trial of it, or what `evaluate` found of its trials."""

from pathlib import Path

import click

from orchestrator.commands.evaluate import stored
from orchestrator.commands.target import unfinished
from orchestrator.errors import NoResult, UserError
from orchestrator.reporting.comparison import print_all
from orchestrator.reporting.leaderboard import FORMATS, as_table, misfortunes
from orchestrator.reporting.trial_sheet import FORMATS as OF_A_TRIAL
from orchestrator.reporting.trial_sheet import as_table as as_sheet
from orchestrator.reporting.trial_sheet import sheet_of
from orchestrator.storage import layout
from orchestrator.sweep.results import read_results
from orchestrator.sweep.single_run import is_single
from orchestrator.terminal import console, say


def print_results(out: Path, target: str, form: str) -> None:
    """Print the leaderboard of the sweep `target`, or all of one trial (SWEEP/ID). Raises UserError."""
    name, _, trial = target.partition("/")
    if not trial:
        print_leaderboard(out, name, form)
        return
    folder = (out / name).resolve()
    if not (folder / layout.SPEC).is_file() and not (folder / layout.RESULTS).is_file():
        there = layout.names_with(out, layout.SPEC, layout.RESULTS)
        raise UserError(f"{folder}: there is no sweep, whose trial could be shown. Sweeps in {out}: {there}.")
    sheet = sheet_of(folder, trial)
    if form == "table":
        say(console(), as_sheet(sheet, console().width))
    else:
        click.echo(OF_A_TRIAL[form](sheet), nl=False)


def print_leaderboard(out: Path, name: str, form: str) -> None:
    """Print the leaderboard of OUT/NAME or, if it has no result, the reasons too.

    Raises UserError, and NoResult where no trial has ended yet.
    """
    found = read_results(out, name)
    if not found["trials"] and not (out / name / layout.RESULTS).is_file():
        raise NoResult(f"{name}: no trial has ended yet. {unfinished((out / name).resolve())}")
    if form == "table":
        say(console(), as_table(found, console().width))
        if is_single(out / name):
            say(console(), f"\n{as_sheet(sheet_of((out / name).resolve(), None), console().width)}")
    else:
        click.echo(FORMATS[form](found), nl=False)
    if told := misfortunes(found):
        told = told[:1] if form == "table" else told  # the table has the reasons
        standing = unfinished((out / name).resolve())
        for line in [*told, *([f"{name}: {standing}"] if standing else [])]:
            click.echo(line, err=form != "table")


def print_evaluations(out: Path, name: str, form: str) -> None:
    """Print what `evaluate` found of trials of OUT/NAME, and how it was made. Raises UserError."""
    print_all(stored(out, name), form, console())
