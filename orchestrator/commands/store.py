"""What verbs print about MLflow's store, and the verb `sync`, which sends what a sweep could not send."""

from pathlib import Path

import click

from orchestrator.errors import UserError
from orchestrator.shell import command
from orchestrator.tracking.identity import unused_environment


def warn_of_unused_store(folder: Path, given: str | None) -> None:
    """Print a line if the environment names another store than the sweep's own, and none is given."""
    if not given and (line := unused_environment(folder)):
        click.echo(line, err=True)


def sync(name: str, out: Path, uri: str | None) -> None:
    """Send to MLflow what the sweep OUT/NAME could not send while it ran. Raises UserError for what is left."""
    from orchestrator.tracking.tracker import sync as send

    left = send(out / name, uri)
    if left:
        raise UserError(*left.lines(command("sync", name, out)))
    click.echo("Everything is sent.")
