"""The verb `resume`: resumes a sweep from its folder alone. `sweep.py` has what it shares with the verb `sweep`."""

from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator import terminal
from orchestrator.checks.read import read_plan
from orchestrator.commands.site import HERE, Site
from orchestrator.commands.sweep import prepare, run_and_report
from orchestrator.errors import UserError
from orchestrator.execution.run import Outcome
from orchestrator.space.plan import Plan
from orchestrator.space.trials import Trial
from orchestrator.spec.records import Objective
from orchestrator.storage import layout, locks
from orchestrator.storage.disk import disk_errors_reported
from orchestrator.storage.journal import Journal, JournalError
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import check_data, check_spec, datasets, origin, told
from orchestrator.sweep.open import Start
from orchestrator.sweep.results import read_results
from orchestrator.sweep.reuse import made_with
from orchestrator.terminal import say
from orchestrator.tracking.tracker import NOTHING_LEFT, sync
from trainables.common.files import remove_half_written
from trainables.common.roots import root_of
from trainables.data.access import DataAccess

AGAIN = "Free room, then try again."


def resume(name: str, workspace: Workspace, json_wanted: bool, site: Site = HERE) -> KeyboardInterrupt | None:
    """Resume the sweep in OUT/NAME as it was started, except for a store or data root that `workspace` gives.

    If the sweep has finished, print its results again. Returns what stopped it, or None. Raises UserError,
    TrackingError, DataError, and NoResult.
    """
    out, folder, named = workspace.out, workspace.folder(name), workspace.out / name
    if not (folder / layout.SPEC).is_file():
        site.refuse_elsewhere(folder)
        there = layout.names_with(out, layout.SPEC)
        raise UserError(f"{folder}: no sweep was started here. Sweeps in {out}: {there}.")
    with disk_errors_reported(folder, AGAIN), locks.driver(folder, locks.TRAINS), site.kept(folder):
        journal, console = Journal(folder), terminal.console(stderr=json_wanted)
        uri = site.store(workspace, folder)
        finished = any(event["event"] == "finished" for event in journal.events)
        if finished and (results := _results(out, name)):
            outcome = Outcome(folder, results, None)
            report_odd_mode(console, Objective(**results["objective"]))
            return site.close(console, outcome, out, sync(folder, uri) if uri else NOTHING_LEFT, json_wanted)
        site.refuse_elsewhere(folder)
        facts = beginning(journal)
        root = workspace.data_root or root_of(facts["data_root"])
        workspace = replace(workspace, out=named.parent, data_root=root, tracking_uri=uri)
        data = site.data(workspace)
        # First: if the files now have other shapes, `read_plan` would blame values of the spec.
        check_data(origin(journal.events), datasets(trial.run for trial in facts["trials"]), data)
        plan = read_plan(folder / layout.SPEC, data=data, recorded=True)
        spec = plan.spec.model_copy(update={"name": named.name})  # the folder may have been renamed
        plan = Plan(spec, facts["trials"] or plan.trials)
        changes = checked_changes(journal, plan, data)
        report_odd_mode(console, plan.spec.objective)
        made = prepare(plan, workspace, console, site) or made_with(root, plan.spec.resources)
        for line in changes + (told(origin(journal.events), made) if journal.events else []):
            say(console, f"changed      {line}")
        for written in (folder, folder / layout.TRIALS):
            remove_half_written(written)
        start = Start(data, facts["source"] or str(folder / layout.SPEC), facts["reuse"], made)
        return run_and_report(plan, workspace, start, json_wanted, site)


def checked_changes(journal: Journal, plan: Plan, data: DataAccess) -> list[str]:
    """A line for each change of the spec since the sweep began. Raises UserError for what contradicts its journal."""
    if not journal.events:
        return []
    of = origin(journal.events)
    lines = check_spec(of, plan.spec, journal.path.with_name(layout.SPEC))
    check_data(of, datasets(trial.run for trial in plan.examples), data)
    return lines


def _results(out: Path, name: str) -> dict[str, Any] | None:
    """The content of results.json; None if it is lost or damaged: then it is made again from the journal."""
    with suppress(UserError):
        return read_results(out, name)


def report_odd_mode(console: Console, objective: Objective) -> None:
    """Print a note if the sweep, begun by an older version, ranks the worst trials as the best."""
    if odd := objective.oddity():
        say(console, f"note         objective.mode: {odd} The sweep was begun so, and stays so.")


def beginning(journal: Journal) -> dict[str, Any]:
    """How the sweep was started: source, data root, reuse, trials. All are empty if it was killed before it noted them.

    The trials are read, not drawn again: another version might draw others. Raises JournalError.
    """
    if not journal.events:
        return {"source": None, "data_root": None, "reuse": False, "trials": []}
    facts = journal.events[0]
    known = {field.name for field in fields(Trial)}
    if facts["event"] != "sweep" or any(trial.keys() != known for trial in facts["trials"]):
        raise JournalError(f"{journal.path}:1: was begun by another version of vaeorch: resume it with that.")
    return facts | {"trials": [Trial(**trial) for trial in facts["trials"]]}
