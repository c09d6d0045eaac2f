"""The verb `sweep`, and what it shares with `resume`: data, store, view, tracker and the closing summary.

`execution/run.py` runs the sweep itself.
"""

from pathlib import Path

from rich.console import Console

from orchestrator import output, terminal
from orchestrator.checks.reading import load_all
from orchestrator.clusters.resources import count_slots
from orchestrator.commands.dry_run import described
from orchestrator.errors import NoResult
from orchestrator.execution.run import Outcome, run_sweep
from orchestrator.reporting.console import Board, watch
from orchestrator.reporting.leaderboard import as_json, as_table, misfortunes
from orchestrator.shell import command, command_for
from orchestrator.space.plan import Plan
from orchestrator.storage import layout, locks
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import datasets
from orchestrator.sweep.folder import claim
from orchestrator.sweep.open import Start
from orchestrator.sweep.ranking import ranked
from orchestrator.terminal import say
from orchestrator.tracking.mlflow_store import prepare_store
from orchestrator.tracking.start import open_tracker
from orchestrator.tracking.store_address import check_early, store_for_new
from orchestrator.tracking.tracker import HASTE_S, Left
from trainables.common.roots import Root

SHOWN = 10  # trials in the closing leaderboard


def sweep(plan: Plan, workspace: Workspace, source: Path, json_wanted: bool, reuse: bool) -> KeyboardInterrupt | None:
    """Run a new sweep, whose spec is in the file `source`, and print its results.

    Returns what stopped it, or None. Raises UserError, TrackingError, DataError, and NoResult.
    """
    count_slots(plan.spec.resources)  # a lack of resources is reported before data are read
    uri = workspace.tracking_uri or store_for_new(workspace.out)
    prepare(plan, uri, workspace.data_root, terminal.console(stderr=json_wanted))
    folder = claim(workspace.out, plan.spec)
    with locks.driver(folder):
        start = Start(workspace.data_root, str(source), reuse)
        return run_and_report(plan, folder, workspace.out, uri, start, json_wanted)


def prepare(plan: Plan, uri: str, data_root: Root, console: Console) -> None:
    """Read the data and open the store, before anything starts. Raises UserError."""
    check_early(uri)
    load_all(datasets(trial.run for trial in plan.examples), data_root, console)
    prepare_store(uri)


def run_and_report(
    plan: Plan, folder: Path, out: Path, uri: str, start: Start, json_wanted: bool
) -> KeyboardInterrupt | None:
    """Run a sweep whose folder is claimed, from wherever it left off, and print its results.

    `out` is the folder's parent, as the user wrote it. Returns what stopped it, or None.
    """
    output.log_to(folder)
    console, objective = terminal.console(stderr=json_wanted), plan.spec.objective
    try:
        tracker = open_tracker(uri, plan, folder, start.source, start.data_root)
        planned = described(plan, folder)
        for note in planned["notes"]:
            say(console, f"note         {note}")
        sizes = planned["trials"], planned["epochs_expected"]
        view = watch(Board(plan.spec.name, objective.metric, objective.mode, *sizes), console)
        stopped = True  # unless `run_sweep` says otherwise
        try:
            outcome = run_sweep(plan, folder, tracker, view, start)
            stopped = outcome.interrupted
        finally:
            view.close()
            left = tracker.close(*([HASTE_S, HASTE_S] if stopped else []))
        close(console, outcome, out, left, json_wanted)
    except KeyboardInterrupt:  # before it began, or by a second signal
        say(console, f"resume       {command_for('resume', folder)}")
        raise
    return outcome.stop


def close(console: Console, outcome: Outcome, out: Path, left: Left, json_wanted: bool) -> None:
    """Print a sweep's leaderboard, where the files of its best trial are, and the commands to type next.

    Raises NoResult if the sweep has ended without a trial that can be ranked.
    """
    name = outcome.results["name"]
    if json_wanted:
        print(as_json(outcome.results), end="")
    say(console, as_table(outcome.results, console.width, SHOWN))
    best = next((trial for trial in ranked(outcome.results) if trial["checkpoint"]), None)
    lines = [f"results      {outcome.folder / layout.RESULTS}"]
    if best:
        lines.insert(0, f"checkpoint   {best['checkpoint']}")
        lines.insert(1, f"pictures     {layout.trial_folder(outcome.folder, best['id']) / layout.PICTURES}")
    lines.append(f"compare      {command('ui', name, out)}")
    lines += left.lines(command("sync", name, out))
    if outcome.results.get("budget", {}).get("used_up"):
        lines.append("The budget is used up; these are the trials that had begun.")
    if outcome.interrupted:
        lines.append("The sweep was interrupted; these are the trials that had begun.")
        lines.append(f"resume       {command_for('resume', outcome.folder)}")
    for line in lines:
        say(console, line)
    if not outcome.interrupted and (reasons := misfortunes(outcome.results)):
        raise NoResult(*reasons)
