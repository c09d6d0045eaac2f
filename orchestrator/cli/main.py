"""`vaeorch`: one thin function for each verb; `orchestrator/commands/` does the work.

Each function itself imports what is slow to import, so that `--help` is fast.
"""

import sys
from pathlib import Path

import click

from orchestrator import garbage, output, signals
from orchestrator.cli import completion
from orchestrator.cli.cluster import cluster as cluster_group
from orchestrator.cli.data import data
from orchestrator.cli.manage import VERBS
from orchestrator.cli.models import draw, encode, export, sample
from orchestrator.cli.options import (
    checkpoint_option,
    cluster_options,
    data_option,
    file_option,
    format_option,
    json_option,
    name_argument,
    name_option,
    out_option,
    set_option,
    spec_argument,
    target_argument,
    tracking_option,
)
from orchestrator.errors import ClusterFailed, NoResult, UserError
from orchestrator.storage.workspace import Workspace

NO_RESULT, USERS_MISTAKE, CLUSTER_FAILED = 1, 2, 3
PORT = 5000
MORE = click.IntRange(1)
REPORTS, COMPARISONS = ("terminal", "markdown", "latex", "csv", "html"), ("terminal", "markdown", "csv")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True, no_args_is_help=True
)
@click.option("--version", is_flag=True, help="Show the version; with --json, all that numbers depend on.")
@click.option("--json", "as_json", is_flag=True, hidden=True)
@click.pass_context
def cli(context, version, as_json) -> None:
    """Train, compare and scale variational autoencoders."""
    if version:
        from orchestrator.commands.versions import print_versions

        print_versions(as_json)
        context.exit()
    if as_json or context.invoked_subcommand is None:
        raise click.UsageError("name a command (--help lists them), and write options such as --json behind it.")


cli.add_command(cluster_group)
cli.add_command(data)
for verb in (*VERBS, draw, export, encode, sample):
    cli.add_command(verb)


@cli.command()
@spec_argument
@out_option
@name_option
@set_option
@data_option
@tracking_option
@click.option("--dry-run", is_flag=True, help="Print the plan and start nothing.")
@click.option("--reuse", is_flag=True, help="Take equal trials from finished sweeps in --out, made with the same code.")
@cluster_options
@json_option
def sweep(spec, out, name, settings, data_root, tracking_uri, dry_run, reuse, cluster, as_json) -> None:
    """Run the sweep that SPEC describes."""
    from orchestrator.clusters.connection import THIS_MACHINE
    from orchestrator.commands.dry_run import print_plan
    from orchestrator.commands.spec_file import read

    workspace = Workspace(out, data_root, tracking_uri)
    if sender := _sender(cluster, workspace, as_json):
        plan = sender.plan(spec, name, settings)
        sys.exit(sender.dry_run(plan) if dry_run else sender.sweep(plan, spec, settings, reuse))
    plan = read(spec, name, settings, workspace.data)
    if dry_run:
        print_plan(plan, workspace.folder(plan.spec.name), as_json, THIS_MACHINE.slots(plan.spec.resources))
        return
    output.outlive()
    from orchestrator.commands.sweep import sweep as run

    _ended(run(plan, workspace, spec, as_json, reuse))


@cli.command()
@name_argument
@out_option
@data_option
@tracking_option
@cluster_options
@json_option
def resume(name, out, data_root, tracking_uri, cluster, as_json) -> None:
    """Go on with the sweep NAME, which was stopped or killed.

    It goes on as it was started, but for the options given here.
    """
    workspace = Workspace(out, data_root, tracking_uri)
    if sender := _sender(cluster, workspace, as_json):
        sys.exit(sender.resume(name))
    output.outlive()
    from orchestrator.commands.resume import resume as go_on
    from orchestrator.commands.store import warn_of_unused_store

    warn_of_unused_store(out / name, tracking_uri)
    _ended(go_on(name, workspace, as_json))


@cli.command()
@name_argument
@click.option("--trials", type=MORE, help="So many more draws of the search, at each point of its grids.")
@click.option("--seeds", type=MORE, help="So many more seeds for each configuration.")
@click.option("--epochs", type=MORE, help="So many more epochs for the best, see --top.")
@click.option(
    "--top", type=click.IntRange(1), default=1, show_default=True, help="With --epochs: rows of the leaderboard."
)
@out_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change what no trial depends on, as budget.epochs=500 or resources.workers=2.",
)
@data_option
@tracking_option
@click.option("--dry-run", is_flag=True, help="Print what would be added and start nothing.")
@json_option
def extend(name, trials, seeds, epochs, top, out, settings, data_root, tracking_uri, dry_run, as_json) -> None:
    """Go on with the finished sweep NAME: more trials, more seeds, or its best trained for longer."""
    from orchestrator.sweep.extension import Wanted

    workspace = Workspace(out, data_root, tracking_uri)
    wanted = Wanted(trials or 0, seeds or 0, epochs or 0, top, settings)
    output.outlive()
    from orchestrator.commands.extend import extend as go_on
    from orchestrator.commands.store import warn_of_unused_store

    warn_of_unused_store(out / name, tracking_uri)
    _ended(go_on(name, workspace, wanted, dry_run, as_json))


@cli.command()
@spec_argument
@out_option
@name_option
@set_option
@data_option
@tracking_option
def train(spec, out, name, settings, data_root, tracking_uri) -> None:
    """Train the run of SPEC alone, here, without Ray.

    The same command goes on where an interrupted one stopped.
    """
    output.outlive()
    from orchestrator.commands.spec_file import read
    from orchestrator.commands.train import train as run

    workspace = Workspace(out, data_root, tracking_uri)
    run(read(spec, name, settings, workspace.data).spec, workspace, str(spec))


@cli.command()
@target_argument
@out_option
@click.option(
    "--metrics",
    shell_complete=completion.metrics,
    help="Names with commas between, as `methods` lists them, or all.  [default: the spec's, or all]",
)
@click.option("--trials", help="all, best:N, or ids with commas between.  [default: best:5]")
@click.option(
    "--set", "settings", multiple=True, metavar="[METRIC.]FIELD=VALUE", help="A setting, as features=classifier."
)
@checkpoint_option
@click.option("--again", is_flag=True, help="Measure also what is known.")
@data_option
@tracking_option
@cluster_options
@format_option
def evaluate(target, out, metrics, trials, settings, checkpoint, again, data_root, tracking_uri, cluster, form) -> None:
    """Measure trained models of TARGET: a sweep, a trial (SWEEP/ID), or a run.

    Numbers that are known are not computed again. Data root and MLflow's store are the sweep's, unless given.
    """
    from orchestrator.evaluation.selection import Selection

    asked, workspace = Selection(metrics, settings, trials, checkpoint, again), Workspace(out, data_root, tracking_uri)
    if sender := _sender(cluster, workspace, form != "table"):
        sys.exit(sender.evaluate(target, asked, form))
    output.outlive()
    from orchestrator.commands.evaluate import evaluate as measure
    from orchestrator.commands.store import warn_of_unused_store

    warn_of_unused_store(out / target.partition("/")[0], tracking_uri)
    _ended(measure(target, workspace, asked, form))


@cli.command()
@click.argument("name", shell_complete=completion.targets)
@out_option
@click.option("--evaluations", is_flag=True, help="What `evaluate` found of its trials, and how it was made.")
@format_option
def results(name, out, evaluations, form) -> None:
    """Print the leaderboard of the sweep NAME, or all of one trial (SWEEP/ID) or run."""
    from orchestrator.commands.results import print_evaluations, print_results

    (print_evaluations if evaluations else print_results)(out, name, form)


@cli.command()
@name_argument
@out_option
@click.option("--format", "form", type=click.Choice(REPORTS), default=REPORTS[0], show_default=True)
@click.option("--evaluate", "measured", is_flag=True, help="First measure what is missing of all its models.")
@file_option
@data_option
@tracking_option
def report(name, out, form, measured, file, data_root, tracking_uri) -> None:
    """Set the sweep NAME beside its paper's tables: each cell ours, the printed one, and a verdict.

    With --format html any sweep or run: all that is known of it on one page that needs no network.
    """
    from orchestrator.commands.report import Wanted
    from orchestrator.commands.report import report as write

    _ended(write(Workspace(out, data_root, tracking_uri), name, Wanted(form, file, measured)))


@cli.command()
@click.argument("first", shell_complete=completion.names)
@click.argument("second", shell_complete=completion.names)
@out_option
@click.option("--format", "form", type=click.Choice(COMPARISONS), default=COMPARISONS[0], show_default=True)
@file_option
def compare(first, second, out, form, file) -> None:
    """Set two sweeps side by side: each configuration that both have, value by value, with a verdict."""
    from orchestrator.commands.report import Wanted
    from orchestrator.commands.report import compare as write

    write(out, (first, second), Wanted(form, file))


@cli.command()
@click.argument("target", required=False, shell_complete=completion.targets)
@click.argument("kind", required=False, shell_complete=completion.figures)
@out_option
@click.option("-o", "file", type=click.Path(path_type=Path), help="The picture.  [default: KIND.png in its figures/]")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["png", "svg", "pdf"]),
    help="May be given several times.  [default: that of -o's name, else png]",
)
@click.option("--trials", help="all, best:N, or ids with commas between.  [default: all]")
@checkpoint_option
@click.option("--list", "listing", is_flag=True, help="List the kinds of figures.")
@data_option
def figure(target, kind, out, file, formats, trials, checkpoint, listing, data_root) -> None:
    """Draw a figure of a paper, KIND, from the trained models of TARGET: a sweep, a trial (SWEEP/ID), or a run.

    The data that it shows are written beside it as CSV. Of trials that differ in their seed alone the best is drawn, or
    their mean where the figure has numbers.
    """
    from orchestrator.commands import figure as verb
    from orchestrator.figures.trained import Choice

    if listing:
        verb.print_kinds()
        return
    if not (target and kind):
        raise click.UsageError("name a sweep and a kind of figure; --list lists the kinds")
    verb.figure(target, kind, Workspace(out, data_root), Choice(trials, checkpoint), file, formats)


@cli.command()
@click.argument("name", required=False, shell_complete=completion.names)
@out_option
@tracking_option
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
def ui(name, out, tracking_uri, port) -> None:
    """Open MLflow's page on all sweeps, or on the leaderboard of NAME."""
    from orchestrator.commands.store import warn_of_unused_store
    from orchestrator.commands.ui import show

    if name:
        warn_of_unused_store(out / name, tracking_uri)
    if code := show(name, out, tracking_uri, port):
        sys.exit(code)


@cli.command()
@name_argument
@out_option
@tracking_option
def sync(name, out, tracking_uri) -> None:
    """Send to MLflow what the sweep NAME could not send while it ran."""
    from orchestrator.commands.store import sync as send
    from orchestrator.commands.store import warn_of_unused_store

    warn_of_unused_store(out / name, tracking_uri)
    send(name, out, tracking_uri)


@cli.command()
@click.option("--cluster", is_flag=True, help="The schema of a cluster file instead.")
def schema(cluster) -> None:
    """Print the JSON Schema of a spec, for editors."""
    from orchestrator.commands.spec_file import print_schema

    print_schema(cluster)


@cli.command()
@click.argument("name", required=False, shell_complete=completion.examples)
@click.option("--to", type=click.Path(path_type=Path), help="The copy of NAME.  [default: NAME.yaml]")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def examples(name, to, as_json) -> None:
    """List the specs and cluster files that come with vaeorch, or copy NAME, to be edited.

    Wherever a file is to be named, the name of one of them will do: `vaeorch sweep quickstart`.
    """
    from orchestrator.commands import examples as verb

    if name:
        verb.copy(name, to)
    elif to:
        raise UserError("--to is for a copy: name one of the files that `vaeorch examples` lists.")
    else:
        verb.print_examples(as_json)


@cli.command()
def methods() -> None:
    """List methods, mappings, networks, likelihoods, data sets and metrics."""
    from orchestrator.commands.catalogue import as_text

    click.echo(as_text())


@cli.command(hidden=True)
@click.argument("job", type=click.Path(path_type=Path))
def driver(job) -> None:
    """Do the work that the file JOB describes, as the driver of the cluster whose Ray runs this."""
    output.outlive()
    from orchestrator.commands.driver import drive

    _ended(drive(job))


def main() -> None:
    """The entry point. Its exit codes are those of `errors.EXIT_CODES`."""
    signals.listen()
    output.protect()
    garbage.search_rarely()
    try:
        cli.main(standalone_mode=False)
        output.settle()
    except click.ClickException as error:
        _end(USERS_MISTAKE, error.format_message())
    except UserError as error:
        _end(USERS_MISTAKE, *error.lines)
    except NoResult as error:
        _end(NO_RESULT, *error.lines)
    except ClusterFailed as error:
        _end(CLUSTER_FAILED, *error.lines)
    except click.Abort as error:
        _end(signals.exit_code(error.__cause__))
    except KeyboardInterrupt as stop:
        _end(signals.exit_code(stop))
    except Exception as error:
        if (stop := signals.behind(error)) is None:
            raise
        _end(signals.exit_code(stop))


def _sender(cluster, workspace, json_wanted):
    """What sends verbs to the cluster that was named; None for this machine."""
    if cluster is None:
        return None
    from orchestrator.commands.send import Sender, remote

    record = remote(cluster)
    return record and Sender(record, cluster, workspace, json_wanted)


def _ended(stop: KeyboardInterrupt | None) -> None:
    """Exit with the code of the signal that stopped a verb, if one did."""
    if stop:
        sys.exit(signals.exit_code(stop))


def _end(code: int, *lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)
    sys.exit(code)
