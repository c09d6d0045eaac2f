"""Opens a sweep, new or resumed: builds its state and its trial queue, and the config that a slot needs for each trial.

`state.py` and `trial_queue.py` say what these do while the sweep runs.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.checks.check import Checker
from orchestrator.space.plan import Plan
from orchestrator.space.trials import CONFIRM, Trial, parameters, trial_name
from orchestrator.spec.diagnostics import Location
from orchestrator.spec.yaml_file import Document
from orchestrator.storage import layout
from orchestrator.storage.journal import Journal
from orchestrator.sweep.budget import BudgetMeter, no_bill
from orchestrator.sweep.changes import datasets, fingerprints, origin
from orchestrator.sweep.folder import under_own_name
from orchestrator.sweep.results_file import ResultsFile
from orchestrator.sweep.reuse import FinishedTrials, made_with
from orchestrator.sweep.state import SweepState
from orchestrator.sweep.trial_queue import TrialQueue
from trainables.common.roots import Root, recorded
from trainables.data.access import HERE, DataAccess

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec


@dataclass(frozen=True)
class Start:
    """How a sweep is started."""

    data: DataAccess = HERE
    """Its data sets."""
    source: str = ""
    """The file that its spec came from."""
    reuse: bool = False
    """Whether equal finished trials of other sweeps in the same folder are reused."""
    made_with: dict[str, Any] | None = None
    """What its trials are made with; None: what this machine has."""


USUAL = Start()


def open_queue(plan: Plan, folder: Path, start: Start, usd_per_hour: Callable[[], float] = no_bill) -> TrialQueue:
    """The trial queue of a sweep: replayed from its journal, which is begun here if it is new. Raises JournalError.

    `usd_per_hour` returns what the sweep's machines cost at present; where it cannot, its error is raised here.
    """
    spec, state = plan.spec, replayed(plan, folder, start.data, usd_per_hour)
    made = start.made_with or made_with(start.data.root, spec.resources)
    facts = {"source": start.source, "reuse": start.reuse, "made_with": made}
    state.start(**facts, **beginning_of(plan, state.journal, start.data))
    checker = Checker(Document({}, {(): Location(0, "")}), spec.objective.metric, start.data)
    finished_trials = FinishedTrials(folder, made, spec.objective.model_dump()) if start.reuse else None
    return TrialQueue(plan, state, checker.allows, finished_trials)


def replayed(plan: Plan, folder: Path, data: DataAccess, usd_per_hour: Callable[[], float] = no_bill) -> SweepState:
    """The state to which the sweep's journal leads. Raises JournalError."""
    spec, as_config = plan.spec, partial(slot_config, plan.spec, folder, data.root)
    configs = {config["id"]: config for config in map(as_config, plan.first_trials)}
    limits = spec.budget.model_dump(exclude_none=True) if spec.budget else {}
    if "usd" in limits:
        usd_per_hour()
    budget = BudgetMeter(limits, spec.resources.workers * spec.resources.gpus_per_worker, usd_per_hour)
    results_file = ResultsFile(folder, spec.name, spec.objective.model_dump(), configs, budget)
    core = spec.scheduler.build(spec.objective.mode)
    return SweepState(core, results_file, Journal(folder), lambda facts: as_config(Trial(**facts)), budget)


def beginning_of(plan: Plan, journal: Journal, data: DataAccess) -> dict[str, Any]:
    """The facts that a journal records of how a sweep begins. Raises UserError."""
    sets = datasets(trial.run for trial in plan.examples)
    known = origin(journal.events).data
    return {
        "data_root": recorded(data.root),
        "spec": under_own_name(plan.spec, journal.path.parent).model_dump(mode="json"),
        "data": fingerprints(sets, data) if known is None else known,
        "trials": list(map(asdict, plan.first_trials)),
    }


def slot_config(spec: "SweepSpec", folder: Path, data_root: Root, trial: Trial) -> dict:
    """What a slot needs to know of a trial, as plain values."""
    name = trial_name(trial.number)
    epochs = trial.run["epochs"]
    most = epochs if trial.stage == CONFIRM else spec.scheduler.most_epochs(epochs)
    return {
        "id": name,
        "number": trial.number,
        "configuration": trial.configuration,
        "parameters": parameters(spec, trial),
        "folder": str(layout.trial_folder(folder, name)),
        "config": trial.config,
        "seed": trial.seed,
        "stage": trial.stage,
        "run": trial.run,
        "last_epoch": min(most, epochs),
        "objective": spec.objective.model_dump(),
        "data_root": recorded(data_root),
        "draws": spec.trials_draw,
        "pictures_every": spec.pictures_every,
        "threads": spec.resources.threads,
        "resources": spec.resources.model_dump(),
    }
