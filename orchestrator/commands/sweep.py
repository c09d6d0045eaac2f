"""The verb `sweep`, and what it shares with `resume`: data, store, view, tracker and the closing summary.

`execution/run.py` runs the sweep itself.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator import output, terminal
from orchestrator.commands.dry_run import described
from orchestrator.commands.site import HERE, Site
from orchestrator.execution.run import Outcome, run_sweep
from orchestrator.reporting.console import Board
from orchestrator.shell import command_for
from orchestrator.space.plan import Plan
from orchestrator.storage import locks
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import datasets
from orchestrator.sweep.folder import claim
from orchestrator.sweep.open import Start
from orchestrator.terminal import say
from orchestrator.tracking.client import check_known_store
from orchestrator.tracking.start import open_tracker
from orchestrator.tracking.store_address import check_early
from orchestrator.tracking.tracker import HASTE_S
from trainables.common.lazy import LazyModule

overview = LazyModule("orchestrator.figures.overview")


def sweep(
    plan: Plan, workspace: Workspace, source: Path, json_wanted: bool, reuse: bool, site: Site = HERE
) -> KeyboardInterrupt | None:
    """Run a new sweep, whose spec is in the file `source`, and print its results.

    Returns what stopped it, or None. Raises UserError, TrackingError, DataError, and NoResult.
    """
    site.cluster.slots(plan.spec.resources)  # a lack of resources is reported before data are read
    workspace = replace(workspace, tracking_uri=site.store(workspace))
    made_with = prepare(plan, workspace, terminal.console(stderr=json_wanted), site)
    folder = claim(workspace.out, plan.spec)
    with locks.driver(folder, locks.TRAINS), site.kept(folder):
        start = Start(site.data(workspace), str(source), reuse, made_with)
        return run_and_report(plan, workspace, start, json_wanted, site)


def prepare(plan: Plan, workspace: Workspace, console: Console, site: Site) -> dict[str, Any] | None:
    """Read the data and check the store, before anything starts. Raises UserError.

    Returns what the trials are made with, if that is not what this machine has.
    """
    if workspace.tracking_uri:
        check_early(workspace.tracking_uri)
    sets = datasets(trial.run for trial in plan.examples)
    made_with = site.check(sets, site.data(workspace), plan.spec.resources, console)
    if workspace.tracking_uri:
        check_known_store(workspace.tracking_uri)
    return made_with


def run_and_report(
    plan: Plan, workspace: Workspace, start: Start, json_wanted: bool, site: Site
) -> KeyboardInterrupt | None:
    """Run a sweep whose folder is claimed, from wherever it left off, and print its results.

    The workspace has the address of its store, if it has one. Returns what stopped it, or None.
    """
    folder, objective = workspace.folder(plan.spec.name), plan.spec.objective
    output.log_to(folder)
    console = terminal.console(stderr=json_wanted)
    try:
        tracker = open_tracker(workspace.tracking_uri, plan, folder, start.source, start.data)
        planned = described(plan, folder, site.cluster.slots(plan.spec.resources))
        for note in planned["notes"]:
            say(console, f"note         {note}")
        sizes = planned["trials"], planned["epochs_expected"]
        board = Board(plan.spec.name, objective.metric, objective.mode, *sizes)
        view = site.watch(board, console)
        stopped = True  # unless `run_sweep` says otherwise
        try:
            outcome = run_sweep(plan, folder, tracker, view, start, site.cluster)
            stopped = outcome.interrupted
            count_ended(board, outcome)
        finally:
            view.close()
            left = tracker.close(*([HASTE_S, HASTE_S] if stopped else []))
        for line in [] if stopped else overview.draw_overview(folder):
            say(console, f"note         {line}")
        site.close(console, outcome, workspace.out, left, json_wanted)
    except KeyboardInterrupt:  # before it began, or by a second signal
        say(console, f"resume       {command_for('resume', folder)}")
        raise
    return outcome.stop


def count_ended(board: Board, outcome: Outcome) -> None:
    """Have a sweep that has come to its end wait for no trial: it may have needed fewer to confirm its best."""
    if not outcome.interrupted and not outcome.results.get("budget", {}).get("used_up"):
        board.trials = len(board.states)
