"""The verb `extend`: a finished sweep goes on with more trials, more seeds, or its best trained for longer.

`sweep/extension.py` says what is added; once the journal has it, the sweep goes on as `resume.py` resumes one.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from orchestrator import terminal
from orchestrator.checks.read import read_plan
from orchestrator.commands.resume import Recorded, check_begun, read_recorded, report_odd_mode
from orchestrator.commands.site import HERE
from orchestrator.commands.sweep import run_and_report
from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.space.plan import Plan
from orchestrator.space.trials import trial_name
from orchestrator.storage import layout, locks
from orchestrator.storage.disk import TRY_AGAIN, disk_errors_reported
from orchestrator.storage.journal import Journal
from orchestrator.storage.json_files import write_whole
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import datasets, fingerprints, origin
from orchestrator.sweep.extension import Added, Wanted, added, digest, is_finished, settings_of
from orchestrator.sweep.folder import as_yaml, under_own_name
from orchestrator.sweep.open import replayed
from orchestrator.sweep.state import STOPPED, SweepState
from orchestrator.sweep.trial_queue import TrialQueue


def extend(
    name: str, workspace: Workspace, wanted: Wanted, dry_run: bool, json_wanted: bool
) -> KeyboardInterrupt | None:
    """Extend the finished sweep in OUT/NAME, and run what was added; or print that, for a dry run.

    Returns what stopped it, or None. Raises UserError, TrackingError, DataError, and NoResult.
    """
    folder = workspace.folder(name)
    _refuse_sent(workspace, name)
    check_begun(folder, HERE)
    with disk_errors_reported(folder, TRY_AGAIN), locks.driver(folder, locks.TRAINS):
        journal, console = Journal(folder), terminal.console(stderr=json_wanted)
        _check_finished(journal)
        located = replace(workspace, tracking_uri=HERE.store(workspace, folder))
        recorded = read_recorded(journal, located, name, HERE)
        plan, state, what = _extended(recorded, wanted)
        report_odd_mode(console, plan.spec.objective)
        if dry_run:
            _print(_described(plan, state, what, folder), json_wanted)
            return None
        start = recorded.start(plan, console, HERE)
        _record(recorded, plan, state, what)
        return run_and_report(plan, recorded.workspace, start, json_wanted, HERE)


def _refuse_sent(workspace: Workspace, name: str) -> None:
    """Raises UserError for a sweep of a cluster."""
    if (sent := layout.sent_file(workspace.out, name)).is_file():
        cure = f"To extend it on this machine, remove {sent}."
        raise UserError(f"{workspace.folder(name)}: was sent to a cluster, and none extends sweeps. {cure}")


def _check_finished(journal: Journal) -> None:
    if not is_finished(journal.events):
        folder = journal.path.parent
        raise UserError(f"{folder}: is not finished. Resume it first: {command_for('resume', folder)}")
    if origin(journal.events).spec is None:
        raise UserError(f"{journal.path}: was begun by a version of vaeorch that noted no spec. Sweep anew.")


def _extended(recorded: Recorded, wanted: Wanted) -> tuple[Plan, SweepState, Added]:
    """The plan of the extended sweep, its state so far, and what is added. Raises UserError."""
    before, data = recorded.plan, HERE.data(recorded.workspace)
    settings = settings_of(wanted, before.spec)
    spec = read_plan(recorded.folder / layout.SPEC, settings, data, recorded=True).spec
    spec = spec.model_copy(update={"name": before.spec.name})
    HERE.cluster.slots(spec.resources)
    so_far = Plan(spec, before.trials, before.rounds)
    state = replayed(so_far, recorded.folder, data)
    what = added(so_far, before.spec, TrialQueue(so_far, state), wanted)
    return what.plan(so_far), state, what


def _record(recorded: Recorded, plan: Plan, state: SweepState, what: Added) -> None:
    """Write the event, then spec.yaml. Raises OSError and UserError."""
    file, spec = recorded.folder / layout.SPEC, under_own_name(plan.spec, recorded.folder)
    replaces = digest(file) if plan.spec != recorded.plan.spec else None
    facts = {"spec": spec.model_dump(mode="json"), "replaces": replaces} | _new_data(recorded, plan)
    state.extend(**what.event(), **facts)
    if replaces:
        write_whole(file, as_yaml(spec))


def _new_data(recorded: Recorded, plan: Plan) -> dict[str, Any]:
    """The fingerprint of all data files, where new trials have data sets that no trial had. Raises UserError."""
    before, after = (datasets(trial.run for trial in each.examples) for each in (recorded.plan, plan))
    known, new = origin(recorded.journal.events).data, [dataset for dataset in after if dataset not in before]
    if known is None or not new:
        return {}
    return {"data": known | fingerprints(new, HERE.data(recorded.workspace))}


def _described(plan: Plan, state: SweepState, what: Added, folder: Path) -> dict[str, Any]:
    """What an extension adds, in plain values."""
    new, entries = what.rounds[-1], state.results_file.entries
    longer = {
        trial: {"from": entries[trial]["epochs"], "to": of["last_epoch"]}
        for trial, of in what.longer.items()
        if trial in entries
    }
    return {
        "name": plan.spec.name,
        "folder": str(folder),
        "trials": new.searching,
        "confirming": new.confirming,
        "longer": longer,
        "left": what.left,
        "waiting": sum(entry["status"] == STOPPED for entry in entries.values()),
        "epochs_at_most": _most_epochs(plan, state, what),
        "budget": state.budget.statement(),
    }


def _most_epochs(plan: Plan, state: SweepState, what: Added) -> int:
    """How many epochs are trained at most, those of stopped trials that may be promoted included."""
    spec, entries = plan.spec, state.results_file.entries
    known = {name: of["last_epoch"] for name, of in state.results_file.trials.items()}
    ended = {name: entry["epochs"] for name, entry in entries.items() if entry["status"] not in (None, STOPPED)}
    new = {trial_name(trial.number): spec.scheduler.most_epochs(trial.run["epochs"]) for trial in what.trials}
    longer = {name: of["last_epoch"] for name, of in what.longer.items()}
    last = known | ended | new | longer
    longest = max([spec.run.epochs, *(trial.run["epochs"] for trial in plan.examples)])
    undrawn = [n for n in range(1, len(plan) + 1) if plan.configuration(n) and n not in state.names]
    found = len(undrawn) * spec.scheduler.most_epochs(longest) + what.rounds[-1].confirming * longest
    return sum(last.values()) - sum(entry["epochs"] for entry in entries.values()) + found


def _print(added: dict[str, Any], json_wanted: bool) -> None:
    if json_wanted:
        click.echo(json.dumps(added, indent=2))
        return
    again = f", and at most {added['confirming']} to confirm the best" if added["confirming"] else ""
    lines = [f"{added['name']}: {added['trials']} more trials{again}, into {added['folder']}"]
    lines += [f"  longer     {trial}: {of['from']} -> {of['to']} epochs" for trial, of in added["longer"].items()]
    if added["left"]:
        lines.append(f"  left       {added['left']} trials that the budget left to do")
    if added["waiting"]:
        lines.append(f"  waiting    {added['waiting']} stopped trials, which may be promoted")
    lines += [f"  budget     {name} {of['limit']:g}, {of['spent']:g} spent" for name, of in added["budget"].items()]
    lines.append(f"  epochs     {added['epochs_at_most']:,} at most")
    click.echo("\n".join(lines))
