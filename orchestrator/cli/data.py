"""`vaeorch data`: one thin function for each verb; `commands/datasets.py` does the work.

Each function itself imports what is slow to import, so that `--help` is fast.
"""

from pathlib import Path

import click

from orchestrator import output
from orchestrator.cli import completion
from orchestrator.cli.options import data_option
from orchestrator.errors import UserError
from trainables.common.roots import Root, root_of

name_argument = click.argument("name", metavar="NAME|SPEC", shell_complete=completion.data_sets)
set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the data set, as crop=148."
)
to_option = click.option(
    "--to", type=root_of, metavar="FOLDER", help="Another data root to prepare into, as where the files are read-only."
)


@click.group()
def data() -> None:
    """List, prepare, verify and push data sets."""


@data.command("list")
@data_option
def list_sets(data_root) -> None:
    """List the data sets, and what of each lies below the data root."""
    from orchestrator.commands import datasets as data_sets

    _say(data_sets.listed, data_root)


@data.command()
@name_argument
@set_option
@data_option
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw a contact sheet: the first rows of each class, images or curves.",
)
def info(name, settings, data_root, sheet) -> None:
    """Tell all about the data set NAME, or that of the file SPEC.

    Of your own data: shape and range, the rows of each split and class, and what was left out, and why.
    """
    from orchestrator.commands import datasets as data_sets

    _say(data_sets.told, data_root, data_sets.asked(name, settings), sheet=sheet)


@data.command()
@name_argument
@set_option
@data_option
@to_option
def prepare(name, settings, data_root, to) -> None:
    """Turn the data set NAME into shards that training maps into memory.

    The same command goes on where an interrupted one stopped.
    """
    output.outlive()
    from orchestrator.commands import datasets as data_sets

    _say(data_sets.prepare, data_root, data_sets.asked(name, settings), to=to)


@data.command()
@name_argument
@set_option
@data_option
def verify(name, settings, data_root) -> None:
    """Check every checksum of the prepared data set NAME."""
    output.outlive()
    from orchestrator.commands import datasets as data_sets

    _say(data_sets.verify, data_root, data_sets.asked(name, settings))


@data.command()
@name_argument
@click.argument("place", metavar="s3://BUCKET/PREFIX", type=root_of)
@set_option
@data_option
def push(name, place, settings, data_root) -> None:
    """Push the prepared data set NAME into a bucket.

    From there all machines fetch it whose data root is that place. The same command goes on where an interrupted one
    stopped.
    """
    output.outlive()
    from orchestrator.commands import datasets as data_sets

    _say(data_sets.push, data_root, data_sets.asked(name, settings), to=place)


def _say(action, root: Root, *dataset, **more) -> None:
    """Print what an action on a data root returns. Raises UserError."""
    from trainables.common.errors import DataError
    from trainables.common.roots import data_root

    try:
        click.echo(action(*dataset, data_root(root), **more))
    except DataError as error:
        raise UserError(str(error)) from None
