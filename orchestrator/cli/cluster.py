"""`vaeorch cluster`: one thin function for each verb; `commands/cluster.py` does the work.

Each function itself imports what is slow to import, so that `--help` is fast.
"""

import sys

import click

from orchestrator.cli import completion
from orchestrator.cli.options import (
    any_cluster_argument,
    cluster_argument,
    json_option,
    out_option,
    tracking_option,
    yes_option,
)
from orchestrator.errors import UserError
from orchestrator.storage.workspace import Workspace

name_argument = click.argument("name", shell_complete=completion.sent)


@click.group()
def cluster() -> None:
    """Check, start and end clusters; attach to sweeps that run there."""


@cluster.command()
@cluster_argument
def check(file) -> None:
    """Look whether the cluster of FILE can be started. Starts nothing."""
    from orchestrator.commands import cluster as clusters

    clusters.check(file)


@cluster.command()
@cluster_argument
def show(file) -> None:
    """Print what would be started for FILE."""
    from orchestrator.commands import cluster as clusters

    clusters.show(file)


@cluster.command()
@cluster_argument
@yes_option
def up(file, yes) -> None:
    """Start the cluster of FILE. It stays until `down`."""
    from orchestrator.commands import cluster as clusters

    clusters.up(file, yes)


@cluster.command()
@any_cluster_argument
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Every cluster that this machine has started, and machines that belong to none.",
)
def down(file, every) -> None:
    """End the cluster of FILE. Sweeps stay on its head, and `resume` goes on with them."""
    from orchestrator.commands import cluster as clusters

    if bool(file) == every:
        raise UserError("Name a cluster file, or --all.")
    clusters.down(clusters.started_files() if every else [file], forgotten=every)


@cluster.command()
@out_option
def ls(out) -> None:
    """List clusters, and the sweeps of --out that were sent to one."""
    from orchestrator.commands import cluster as clusters

    clusters.ls(out)


@cluster.command()
@name_argument
@out_option
@tracking_option
@json_option
def attach(name, out, tracking_uri, as_json) -> None:
    """Show the sweep NAME while it runs, and its results once it has ended. Ctrl-C detaches again."""
    from orchestrator.commands import cluster as clusters

    sys.exit(clusters.attach(name, Workspace(out, tracking_uri=tracking_uri), as_json))


@cluster.command()
@name_argument
@out_option
def logs(name, out) -> None:
    """Print all that the sweep NAME has said."""
    from orchestrator.commands import cluster as clusters

    clusters.logs(name, out)


@cluster.command()
@name_argument
@out_option
@tracking_option
def stop(name, out, tracking_uri) -> None:
    """Stop the sweep NAME in order; `resume --cluster` goes on with it."""
    from orchestrator.commands import cluster as clusters

    sys.exit(clusters.stop(name, Workspace(out, tracking_uri=tracking_uri)))


@cluster.command()
@name_argument
@out_option
@tracking_option
@click.option("--all", "whole", is_flag=True, help="Also the checkpoints from which trials resume.")
def pull(name, out, tracking_uri, whole) -> None:
    """Bring home what the sweep NAME has so far: results, pictures, best models, MLflow's metrics."""
    from orchestrator.commands import cluster as clusters

    clusters.pull(name, Workspace(out, tracking_uri=tracking_uri), whole)
