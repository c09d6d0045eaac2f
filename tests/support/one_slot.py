"""Whole sweeps on one slot without Ray or training: a driver that does what Tune has to do, and no more."""

import json
import math
from collections.abc import Callable

from orchestrator.schedulers.base import PAUSE
from orchestrator.space.plan import Plan
from orchestrator.space.trials import Trial, list_trials
from orchestrator.spec.records import SweepSpec
from orchestrator.storage.journal import Journal
from orchestrator.sweep.budget import BudgetMeter
from orchestrator.sweep.extension import Wanted, added
from orchestrator.sweep.open import slot_config
from orchestrator.sweep.results_file import ResultsFile
from orchestrator.sweep.state import SweepState
from orchestrator.sweep.trial_queue import TrialQueue
from tests.support.journals import Killed
from tests.support.small_runs import a_run

EPOCHS = 4
ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": EPOCHS}
SEARCH = {
    "method": {
        "choice": [
            {"name": "vae"},
            {"name": "intel_vae", "mapping": {"name": "sectors", "clusters": {"choice": [2, 5]}}},
        ]
    },
    "optimizer.lr": {"loguniform": [1e-4, 1e-1]},
}
LOW = {"optimizer.lr": {"loguniform": [1e-4, 1e-2]}}  # none diverges
FEW = {"method": SEARCH["method"]}  # three configurations
RATES = {"optimizer.lr": {"grid": [1e-3, 1e-2, 1e-1]}}
OPTUNA = {"name": "optuna", "startup_trials": 3}


def spec_of(search: dict = SEARCH, **changes) -> SweepSpec:
    run = a_run(epochs=EPOCHS).model_dump(mode="json")
    known = {"name": "a", "run": run, "search": search, "scheduler": ASHA}
    return SweepSpec.model_validate_json(json.dumps(known | changes))


def drawn(**changes) -> SweepSpec:
    return spec_of(**{"searcher": OPTUNA, "trials": 8} | changes)


def value_of(run: dict, epoch: int) -> float | None:
    """An objective; None: the training diverges. Best at a rate of 1e-2, with a little luck for each seed."""
    rate = math.log10(run["optimizer"]["lr"]) + 2
    if rate > 0.7:
        return None
    luck = math.sin(1000 * rate + run["seed"])
    return -abs(rate) + 0.1 * epoch + 0.01 * luck


class Mortal(Journal):
    """Its process is killed after its first `lines`."""

    def __init__(self, folder, lines):
        super().__init__(folder)
        self.left = lines

    def append(self, event):
        super().append(event)
        self.left -= 1
        if self.left == 0:
            raise Killed


def opened(
    folder, spec: SweepSpec, lines: int = 10**6, made_with: dict | None = None, plan: Plan | None = None, **more
) -> TrialQueue:
    """The queue of a new sweep or, with its `plan`, of one that was extended, in a process that is killed then."""

    def as_config(trial: Trial) -> dict:
        return slot_config(spec, folder, None, trial)

    plan = plan or Plan(spec, list_trials(spec))
    configs = {config["id"]: config for config in map(as_config, plan.first_trials)}
    limits = spec.budget.model_dump(exclude_none=True) if spec.budget else {}
    budget = BudgetMeter(limits, gpus=0, clock=lambda: 0.0)
    results_file = ResultsFile(folder, spec.name, spec.objective.model_dump(), configs, budget)
    core = spec.scheduler.build(spec.objective.mode)
    state = SweepState(core, results_file, Mortal(folder, lines), lambda facts: as_config(Trial(**facts)), budget)
    state.start(made_with=made_with)
    return TrialQueue(plan, state, **more)


def extended(folder, plan: Plan, wanted: Wanted, **changes) -> Plan:
    """Extend the finished sweep in a folder, whose plan this is; the plan from now on."""
    known = plan.spec.model_dump(mode="json") | changes
    known |= {"trials": plan.spec.trials + wanted.trials, "seeds": plan.spec.seeds + wanted.seeds}
    so_far = Plan(SweepSpec.model_validate_json(json.dumps(known)), plan.trials, plan.rounds)
    queue = opened(folder, so_far.spec, plan=so_far)
    what = added(so_far, plan.spec, queue, wanted)
    queue.state.extend(**what.event(), spec=known, replaces=None)
    return what.plan(so_far)


def occupy(state: SweepState, trial: str) -> None:
    """Train a trial until it gives up the slot."""
    state.begin(trial)
    config = state.results_file.trials[trial]
    answer = ""
    while answer != PAUSE:
        epoch = state.results_file.entries[trial]["epochs"] + 1
        value = value_of(config["run"], epoch)
        if epoch > config["last_epoch"] or value is None:
            state.end(trial, *(("diverged", f"at epoch {epoch}") if value is None else ("completed", None)))
            return
        answer = state.report(trial, epoch, {"val/elbo": value}, seconds=1.0)


def drive(queue: TrialQueue, occupy: Callable[[SweepState, str], None] = occupy) -> TrialQueue:
    """What Tune has to do with a sweep on one slot, and no more."""
    state = queue.state
    broken = [trial for trial, paused in state.standing.items() if not paused]
    new = [number for number in queue.left() if state.names.get(number) not in state.standing]
    later = [number for number in new if queue.confirms(number) and state.confirming is None]
    new = [number for number in new if number not in later]
    while True:
        if broken:
            occupy(state, broken.pop())
        elif (promoted := state.next()) is not None:
            occupy(state, state.names[promoted])
        elif new and not state.budget.empty:
            if config := queue.enter(new.pop(0)):
                occupy(state, config["id"])
        elif (closing := state.close()) is not None:
            occupy(state, state.names[closing])
        else:
            for trial in list(state.standing):
                state.end(trial, "stopped", state.reason(trial))
            if state.budget.empty or not later:
                break
            new, later = later, []
    assert queue.complete()
    state.finish()
    return queue


def entries_of(queue: TrialQueue, stage: str = "search") -> list[dict]:
    return [entry for entry in queue.state.results_file.results()["trials"] if entry["stage"] == stage]
