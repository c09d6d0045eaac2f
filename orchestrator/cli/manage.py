"""Verbs that manage sweeps and runs: one thin function for each, and `commands/` does the work.

Each function itself imports what is slow to import, so that `--help` is fast.
"""

import click

from orchestrator.cli.options import name_argument, out_option


@click.command(name="list")
@out_option
@click.option("--json", "as_json", is_flag=True, help="Print all facts as JSON.")
def list_(out, as_json) -> None:
    """List sweeps and runs, the newest first."""
    from orchestrator.commands.listing import print_list

    print_list(out, as_json)


@click.command()
@name_argument
@out_option
@click.option("--yes", is_flag=True, help="Do not ask, as in scripts.")
@click.option("--keep-mlflow", is_flag=True, help="Leave its runs and pictures in MLflow.")
def remove(name, out, yes, keep_mlflow) -> None:
    """Remove a sweep or run, with its runs and pictures in MLflow. Asks first."""
    from orchestrator.commands.remove import remove as do

    do(name, out, yes, keep_mlflow)


@click.command()
@name_argument
@click.argument("new")
@out_option
def rename(name, new, out) -> None:
    """Rename a sweep or run, also in MLflow; `resume` and `train` go on with it."""
    from orchestrator.commands.rename import rename as do

    do(name, new, out)


@click.command()
@name_argument
@out_option
def watch(name, out) -> None:
    """Show a sweep or run that another process trains, until it ends. Ctrl-C ends the watching alone."""
    from orchestrator.commands.watch import watch as do

    do(name, out)


@click.command()
@name_argument
@out_option
def stop(name, out) -> None:
    """Stop a running sweep or run in order; `resume` or `train` goes on with it."""
    from orchestrator.commands.stop import stop as do

    do(name, out)


VERBS = (list_, remove, rename, watch, stop)
