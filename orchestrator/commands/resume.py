"""The verb `resume`: resumes a sweep from its folder alone. `sweep.py` has what it shares with the verb `sweep`.

`extend.py` takes a finished sweep up in the same way.
"""

from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator import terminal
from orchestrator.checks.read import read_plan
from orchestrator.commands.site import HERE, Site
from orchestrator.commands.sweep import prepare, run_and_report
from orchestrator.errors import UserError
from orchestrator.execution.run import Outcome
from orchestrator.shell import command_for
from orchestrator.space.plan import Plan
from orchestrator.space.trials import Trial, trial_name
from orchestrator.spec.records import Objective, SweepSpec
from orchestrator.storage import layout, locks
from orchestrator.storage.disk import TRY_AGAIN, disk_errors_reported
from orchestrator.storage.journal import Journal, JournalError
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import check_data, check_spec, datasets, origin, told
from orchestrator.sweep.extension import extended_plan, is_finished, settle_spec
from orchestrator.sweep.open import Start
from orchestrator.sweep.results import read_results
from orchestrator.sweep.reuse import made_with
from orchestrator.terminal import say
from orchestrator.tracking.tracker import NOTHING_LEFT, sync
from trainables.common.files import remove_half_written
from trainables.common.lazy import LazyModule
from trainables.common.roots import root_of
from trainables.data.access import DataAccess
from trainables.run import Run

FROM_TRIALS = "The trials go on from their own folders; what was decided of them is decided again."
overview = LazyModule("orchestrator.figures.overview")
trial_folder = LazyModule("orchestrator.storage.trial_folder")


@dataclass(frozen=True)
class Recorded:
    """A sweep that was begun, as its folder has it: what it takes to go on."""

    plan: Plan
    workspace: Workspace
    journal: Journal
    facts: dict[str, Any]
    """How it was started, as `beginning` gives it."""
    changes: list[str]
    """A line for each change of the spec since."""

    @property
    def folder(self) -> Path:
        return self.journal.path.parent

    def start(self, plan: Plan, console: Console, site: Site) -> Start:
        """Read the data and open the store, so that the sweep with this plan can go on. Prints what has changed.

        Raises UserError.
        """
        root, events = self.workspace.data_root, self.journal.events
        made = prepare(plan, self.workspace, console, site) or made_with(root, plan.spec.resources)
        for line in self.changes + (told(origin(events), made) if events else []):
            say(console, f"changed      {line}")
        for written in (self.folder, self.folder / layout.TRIALS):
            remove_half_written(written)
        source = self.facts["source"] or str(self.folder / layout.SPEC)
        return Start(site.data(self.workspace), source, self.facts["reuse"], made)


def resume(name: str, workspace: Workspace, json_wanted: bool, site: Site = HERE) -> KeyboardInterrupt | None:
    """Resume the sweep in OUT/NAME as it was started, except for a store or data root that `workspace` gives.

    If the sweep has finished, print its results again. Returns what stopped it, or None. Raises UserError,
    TrackingError, DataError, and NoResult.
    """
    out, folder = workspace.out, workspace.folder(name)
    check_begun(folder, site)
    with disk_errors_reported(folder, TRY_AGAIN), locks.driver(folder, locks.TRAINS), site.kept(folder):
        journal, console = Journal(folder), terminal.console(stderr=json_wanted)
        uri = site.store(workspace, folder)
        if is_finished(journal.events) and (results := _results(out, name)):
            outcome = Outcome(folder, results, None)
            report_odd_mode(console, Objective(**results["objective"]))
            for line in overview.draw_overview(folder):
                say(console, f"note         {line}")
            return site.close(console, outcome, out, sync(folder, uri) if uri else NOTHING_LEFT, json_wanted)
        site.refuse_elsewhere(folder)
        settle_spec(folder, journal.events)
        recorded = read_recorded(journal, replace(workspace, tracking_uri=uri), name, site)
        report_odd_mode(console, recorded.plan.spec.objective)
        if not journal.events and any((folder / layout.TRIALS).glob(f"*/{layout.METRICS}")):
            check_trials(recorded.plan, folder)
            say(console, f"note         {journal.path.name} is lost. {FROM_TRIALS}")
        start = recorded.start(recorded.plan, console, site)
        return run_and_report(recorded.plan, recorded.workspace, start, json_wanted, site)


def check_trials(plan: Plan, folder: Path) -> None:
    """Raises UserError if the spec alone, without the journal, does not lead to the trials in `folder`."""
    known = {trial_name(trial.number): Run.model_validate(trial.run) for trial in plan.trials}
    lost = f"{folder / layout.JOURNAL}: is lost, and with it"
    for home in sorted(file.parent for file in (folder / layout.TRIALS).glob(f"*/{layout.METRICS}")):
        if plan.spec.searcher.name == "optuna":
            why = f"{lost} which trials the searcher optuna drew from which results: it would draw others now."
        elif home.name not in known:
            why = f"{lost} what trial {home.name} is: the sweep was extended, or confirmed its best."
        elif not trial_folder.may_be_of(home / layout.CONFIG, known[home.name]):
            edited = f"its settings are not those that {folder / layout.SPEC} says now. Put back what was edited there"
            why = f"{home / layout.CONFIG}: {edited}; if nothing was, the sweep was extended, as only its journal knew."
        else:
            continue
        raise UserError(f"{why} {_still_there(folder)} To train more, sweep anew with another --name.")


def _still_there(folder: Path) -> str:
    """What can be done with a sweep that does not go on."""
    if (folder / layout.RESULTS).is_file():
        return f"Its results are there: {command_for('results', folder)}; so for report, evaluate and export."
    return f"Its models are in {folder / layout.TRIALS}."


def check_begun(folder: Path, site: Site) -> None:
    """Raises UserError if no sweep was begun in `folder`."""
    if not (folder / layout.SPEC).is_file():
        site.refuse_elsewhere(folder)
        there = layout.names_with(folder.parent, layout.SPEC)
        raise UserError(f"{folder}: no sweep was started here. Sweeps in {folder.parent}: {there}.")


def read_recorded(journal: Journal, workspace: Workspace, name: str, site: Site) -> Recorded:
    """The sweep OUT/NAME, whose journal this is. It has the name of its folder, which may have been renamed.

    Raises UserError for a spec or data that contradict what was trained.
    """
    file, facts, named = journal.path.with_name(layout.SPEC), beginning(journal), workspace.out / name
    root = workspace.data_root or root_of(facts["data_root"])
    workspace = replace(workspace, out=named.parent, data_root=root)
    data = site.data(workspace)
    # First: if the files now have other shapes, `read_plan` would blame values of the spec.
    check_data(origin(journal.events), datasets(trial.run for trial in facts["trials"]), data)
    plan = read_plan(file, data=data, recorded=True)
    own = {"name": named.name} | draws_as_begun(plan.spec, journal)
    plan = Plan(plan.spec.model_copy(update=own), facts["trials"] or plan.trials)
    plan = extended_plan(plan, journal.events)
    return Recorded(plan, workspace, journal, facts, checked_changes(journal, plan, data))


def draws_as_begun(spec: SweepSpec, journal: Journal) -> dict[str, None]:
    """What a sweep of an earlier version has of `pictures`, unless its spec was given some since: see `as_begun`."""
    known = origin(journal.events).spec or {}
    began_before = bool(journal.events) and "pictures" not in known
    return {"pictures": None} if began_before and "pictures" not in spec.model_fields_set else {}


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
