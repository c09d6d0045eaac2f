"""The verb `results`: the leaderboard of a sweep, or what `evaluate` found of its trials."""

from pathlib import Path

import click

from orchestrator.commands.evaluate import stored
from orchestrator.reporting.comparison import print_all
from orchestrator.reporting.leaderboard import FORMATS, as_table, misfortunes
from orchestrator.sweep.results import read_results
from orchestrator.terminal import console, say


def print_leaderboard(out: Path, name: str, form: str) -> None:
    """Print the leaderboard of OUT/NAME or, if it has no result, the reasons too. Raises UserError."""
    found = read_results(out, name)
    if form == "table":
        say(console(), as_table(found, console().width))
    else:
        click.echo(FORMATS[form](found), nl=False)
    told = misfortunes(found)
    for line in told[:1] if form == "table" else told:  # the table has the reasons
        click.echo(line, err=form != "table")


def print_evaluations(out: Path, name: str, form: str) -> None:
    """Print what `evaluate` found of trials of OUT/NAME, and how it was made. Raises UserError."""
    print_all(stored(out, name), form, console())
