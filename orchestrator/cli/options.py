"""Arguments and options that several verbs share."""

from functools import wraps
from pathlib import Path

import click

from orchestrator.cli import completion
from orchestrator.clusters.options import ClusterOptions
from orchestrator.errors import UserError
from orchestrator.storage import layout
from trainables.common.roots import root_of


def one_line(context: click.Context, option: click.Parameter, folder: Path) -> Path:
    """The folder. Raises UserError for a line break in its name: files and messages need it in one line."""
    if {"\n", "\r"} & set(str(folder)):
        raise UserError(f"--out: {str(folder)!r} has a line break in it. Choose another folder.")
    return folder


name_argument = click.argument("name", shell_complete=completion.names)
target_argument = click.argument("target", shell_complete=completion.targets)


def own_or_shipped(context: click.Context, option: click.Parameter, word: Path | None) -> Path | None:
    """The file that a user's word means: one of the user's own, or one that comes with vaeorch. Raises UserError."""
    from orchestrator.spec.shipped import find_cluster, find_spec

    return word and (find_spec if option.name == "spec" else find_cluster)(word)


def address(context: click.Context, option: click.Parameter, uri: str | None) -> str | None:
    """The address of a store, as MLflow takes it."""
    from orchestrator.tracking.store_address import for_mlflow

    return uri and for_mlflow(uri)


def one_of_files(shell_complete) -> dict:
    """What arguments and options have that name a file, or one that comes with vaeorch."""
    return {"type": click.Path(path_type=Path), "callback": own_or_shipped, "shell_complete": shell_complete}


spec_argument = click.argument("spec", **one_of_files(completion.specs))
cluster_argument = click.argument("file", **one_of_files(completion.clusters))
any_cluster_argument = click.argument("file", required=False, **one_of_files(completion.clusters))
out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    callback=one_line,
    help="Folder of all sweeps.",
)
name_option = click.option("--name", help="Name of the sweep and its folder, in place of the spec's.")
set_option = click.option(
    "--set", "settings", multiple=True, metavar="PATH=VALUE", help="Override a value of the spec, as run.epochs=2."
)
data_option = click.option(
    "--data-root",
    type=root_of,
    metavar="ROOT",
    envvar="VAEORCH_DATA",
    help="Where data sets lie: a folder or s3://bucket/prefix. [env: VAEORCH_DATA]",
)
tracking_option = click.option(
    "--tracking-uri",
    metavar="URI",
    callback=address,
    help="MLflow's store: http://..., postgresql://..., or (default) sqlite below --out. [env: MLFLOW_TRACKING_URI, for"
    " what has no store yet]",
)
checkpoint_option = click.option(
    "--checkpoint",
    type=click.Choice(list(layout.EVALUATED)),
    help="The models of the best epoch, or of the last.  [default: the spec's, or best]",
)
cluster_option = click.option(
    "--cluster",
    "cluster_file",
    metavar="FILE",
    help="Run on the cluster of this file, such as clusters/ssh.yaml.  [default: on this machine]",
    **one_of_files(completion.clusters),
)
detach_option = click.option("--detach", is_flag=True, help="With --cluster: do not wait; `cluster attach` shows it.")
keep_up_option = click.option(
    "--keep-up",
    metavar="MINUTES",
    type=click.FloatRange(0),
    default=0,
    help="With --cluster: how long a cluster that was started for this stays up afterwards.  [default: 0]",
)
yes_option = click.option(
    "--yes", is_flag=True, help="Start machines that cost money without a question, as in scripts."
)
format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv", "markdown"]), default="table", show_default=True
)
file_option = click.option(
    "-o", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.  [default: print]"
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print results (or the plan) as JSON; progress goes to stderr."
)


def cluster_options(function):
    """Adds the options of verbs that may run on a cluster. The function gets them as `cluster`, or None without one."""

    @wraps(function)
    def combined(cluster_file, detach, keep_up, yes, **others):
        if cluster_file is None and (detach or keep_up or yes):
            raise UserError("--detach, --keep-up and --yes are for a cluster: name its file by --cluster.")
        cluster = ClusterOptions(cluster_file, detach, keep_up, yes) if cluster_file else None
        return function(cluster=cluster, **others)

    for option in (yes_option, keep_up_option, detach_option, cluster_option):
        combined = option(combined)
    return combined
