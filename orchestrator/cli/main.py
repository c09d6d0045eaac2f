"""vaeorch: one verb each, thin. Everything heavy is imported by the verb that needs it."""

import json
import sys
from pathlib import Path

import click

from orchestrator import output
from orchestrator import signals as stopping
from orchestrator.cli.data import data
from orchestrator.cli.options import (
    data_option,
    format_option,
    json_option,
    name_option,
    out_option,
    set_option,
    spec_argument,
    tracking_option,
)
from orchestrator.errors import NoResult, UserError
from orchestrator.shell import command
from orchestrator.storage.json_files import TAKEN
from trainables.common.roots import Root

NO_RESULT, USERS_MISTAKE = 1, 2
PORT = 5000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vaeorch")
def cli() -> None:
    """Train, compare and scale variational autoencoders."""


cli.add_command(data)


@cli.command()
@spec_argument
@out_option
@name_option
@set_option
@data_option
@tracking_option
@click.option("--dry-run", is_flag=True, help="Print the plan and start nothing.")
@click.option("--reuse", is_flag=True, help="Take equal trials from finished sweeps in --out, made with the same code.")
@json_option
def sweep(spec, out, name, settings, data_root, tracking_uri, dry_run, reuse, as_json) -> None:
    """Run the sweep that SPEC describes."""
    from orchestrator.commands import dry_run as plan
    from orchestrator.space.trials import list_trials

    spec_file, spec = spec, _read(spec, name, settings, data_root)
    trials = list_trials(spec)
    planned = plan.plan(spec, trials, out)
    if dry_run:
        click.echo(json.dumps(planned, indent=2) if as_json else plan.as_text(planned))
        return
    output.outlive()
    from orchestrator.commands.sweep import launch
    from orchestrator.tracking.store_address import store_for_new

    _ended(launch(spec, trials, spec_file, out, tracking_uri or store_for_new(out), data_root, as_json, reuse))


@cli.command()
@click.argument("name")
@out_option
@data_option
@tracking_option
@json_option
def resume(name, out, data_root, tracking_uri, as_json) -> None:
    """Go on with the sweep NAME, which was stopped or killed.

    It goes on as it was started, but for the options given here.
    """
    output.outlive()
    from orchestrator.commands.resume import resume as go_on
    from orchestrator.tracking.store_address import store_for_new

    _tell_of_store(out / name, tracking_uri)
    _ended(go_on(name, out, tracking_uri, store_for_new(out), data_root, as_json))


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
    from orchestrator.commands.train import train_one

    train_one(_read(spec, name, settings, data_root), out, data_root, tracking_uri, str(spec))


@cli.command()
@click.argument("target")
@out_option
@click.option("--metrics", default="all", show_default=True, help="Names with commas between; `methods` lists them.")
@click.option("--trials", help="all, best:N, or ids with commas between.  [default: best:5]")
@click.option(
    "--set", "settings", multiple=True, metavar="[METRIC.]FIELD=VALUE", help="A setting, as features=classifier."
)
@click.option("--again", is_flag=True, help="Measure also what is known.")
@data_option
@tracking_option
@format_option
def evaluate(target, out, metrics, trials, settings, again, data_root, tracking_uri, form) -> None:
    """Measure trained models of TARGET: a sweep, a trial (SWEEP/ID), or a run.

    Numbers that are known are not computed again. Data root and MLflow's store are the sweep's, unless given.
    """
    output.outlive()
    from orchestrator.commands.evaluate import evaluate as measure

    _tell_of_store(out / target.partition("/")[0], tracking_uri)
    _ended(measure(target, out, metrics, settings, trials, data_root, tracking_uri, form, again))


@cli.command()
@click.argument("name")
@out_option
@click.option("--evaluations", is_flag=True, help="What `evaluate` found of its trials, and how it was made.")
@format_option
def results(name, out, evaluations, form) -> None:
    """Print the leaderboard of the sweep NAME."""
    from orchestrator.reporting.leaderboard import FORMATS, as_table, misfortunes
    from orchestrator.sweep.results import read_results
    from orchestrator.terminal import console, say

    if evaluations:
        from orchestrator.commands.evaluate import stored
        from orchestrator.reporting.comparison import print_all

        print_all(stored(out, name), form, console())
        return
    found = read_results(out, name)
    if form == "table":
        say(console(), as_table(found, console().width))
    else:
        click.echo(FORMATS[form](found), nl=False)
    told = misfortunes(found)
    for line in told[:1] if form == "table" else told:  # the table has the reasons
        click.echo(line, err=form != "table")


@cli.command()
@click.argument("name", required=False)
@out_option
@tracking_option
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
def ui(name, out, tracking_uri, port) -> None:
    """Open MLflow's page on all sweeps, or on the leaderboard of NAME."""
    from orchestrator.tracking import ui as server
    from orchestrator.tracking.identity import recorded_store
    from orchestrator.tracking.store_address import is_server, page_of, store_for_new

    if name:
        _tell_of_store(out / name, tracking_uri)
    uri = tracking_uri or (recorded_store(out / name) if name else None) or store_for_new(out)
    base = page_of(uri) if is_server(uri) else f"http://{server.HOST}:{port}"
    page = server.page(out / name, uri, base) if name else base
    if is_server(uri):
        click.echo(page)
        return
    click.echo(f"{page}  (Ctrl-C ends the server)")
    sys.exit(server.serve(uri, port))


@cli.command()
@click.argument("name")
@out_option
@tracking_option
def sync(name, out, tracking_uri) -> None:
    """Send to MLflow what the sweep NAME could not send while it ran."""
    from orchestrator.tracking.tracker import sync as send

    _tell_of_store(out / name, tracking_uri)
    left = send(out / name, tracking_uri)
    if left:
        raise UserError(*left.lines(command("sync", name, out)))
    click.echo("Everything is sent.")


@cli.command()
def schema() -> None:
    """Print the JSON Schema of a spec, for editors."""
    from orchestrator.checks.read import schema as made

    click.echo(json.dumps(made(), indent=2))


@cli.command()
def methods() -> None:
    """List methods, mappings, networks, likelihoods, data sets and metrics."""
    from orchestrator.commands.catalogue import as_text

    click.echo(as_text())


def _read(spec: Path, name: str | None, settings: tuple[str, ...], data_root: Root):
    from orchestrator.checks.read import read_spec

    return read_spec(spec, [*settings, *([f"name={json.dumps(name)}"] if name else [])], data_root, TAKEN)


def _tell_of_store(folder: Path, given: str | None) -> None:
    """Say so where the environment names another store than the sweep's own, and none is given."""
    from orchestrator.tracking.identity import unused_environment

    if not given and (line := unused_environment(folder)):
        click.echo(line, err=True)


def main() -> None:
    """The entry point.

    Exit codes: 0 fine, 2 the user's mistake (a line for each), 130 Ctrl-C, 143 SIGTERM, 1 nothing came of it (with the
    reasons), or a fault of ours (a traceback), 141 the reader of what was printed has gone.
    """
    stopping.listen()
    output.protect()
    try:
        cli.main(standalone_mode=False)
        output.settle()
    except click.ClickException as error:
        _end(USERS_MISTAKE, error.format_message())
    except UserError as error:
        _end(USERS_MISTAKE, *error.lines)
    except NoResult as error:
        _end(NO_RESULT, *error.lines)
    except click.Abort as error:
        _end(stopping.exit_code(error.__cause__))
    except KeyboardInterrupt as stop:
        _end(stopping.exit_code(stop))


def _ended(stop: KeyboardInterrupt | None) -> None:
    """The end of a sweep, with its exit code."""
    if stop:
        sys.exit(stopping.exit_code(stop))


def _end(code: int, *lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)
    sys.exit(code)
