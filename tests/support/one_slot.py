"""Whole sweeps on one slot without Ray or training: a driver that does what Tune has to do, and no more."""

import json
import math

from orchestrator.schedulers.base import PAUSE
from orchestrator.space.plan import Plan
from orchestrator.space.trials import Trial, list_trials
from orchestrator.spec.records import SweepSpec
from orchestrator.storage.journal import Journal
from orchestrator.sweep.budget import Account
from orchestrator.sweep.open import slot_config
from orchestrator.sweep.results_file import Ledger
from orchestrator.sweep.state import Progress
from orchestrator.sweep.trial_queue import Lineup
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


def opened(folder, spec: SweepSpec, lines: int = 10**6, made_with: dict | None = None, **more) -> Lineup:
    def as_config(trial: Trial) -> dict:
        return slot_config(spec, folder, None, trial)

    listed = list_trials(spec)
    configs = {config["id"]: config for config in map(as_config, listed)}
    limits = spec.budget.model_dump(exclude_none=True) if spec.budget else {}
    account = Account(limits, gpus=0, clock=lambda: 0.0)
    ledger = Ledger(folder, spec.name, spec.objective.model_dump(), configs, account)
    core = spec.scheduler.build(spec.objective.mode)
    progress = Progress(core, ledger, Mortal(folder, lines), lambda facts: as_config(Trial(**facts)), account)
    progress.start(made_with=made_with)
    return Lineup(Plan(spec, listed), progress, **more)


def drive(lineup: Lineup) -> Lineup:
    """What Tune has to do with a sweep on one slot, and no more."""
    progress = lineup.progress
    broken = [trial for trial, paused in progress.standing.items() if not paused]
    new = [number for number in lineup.left() if progress.names.get(number) not in progress.standing]
    later = [number for number in new if lineup.confirms(number) and progress.confirming is None]
    new = [number for number in new if number not in later]
    while True:
        if broken:
            occupy(progress, broken.pop())
        elif (promoted := progress.next()) is not None:
            occupy(progress, progress.names[promoted])
        elif new and not progress.account.empty:
            if config := lineup.enter(new.pop(0)):
                occupy(progress, config["id"])
        elif (closing := progress.close()) is not None:
            occupy(progress, progress.names[closing])
        else:
            for trial in list(progress.standing):
                progress.end(trial, "stopped", progress.reason(trial))
            if progress.account.empty or not later:
                break
            new, later = later, []
    assert lineup.complete()
    progress.finish()
    return lineup


def occupy(progress: Progress, trial: str) -> None:
    """Train a trial until it gives up the slot."""
    progress.begin(trial)
    config = progress.ledger.trials[trial]
    answer = ""
    while answer != PAUSE:
        epoch = progress.ledger.entries[trial]["epochs"] + 1
        value = value_of(config["run"], epoch)
        if epoch > config["last_epoch"] or value is None:
            progress.end(trial, *(("diverged", f"at epoch {epoch}") if value is None else ("completed", None)))
            return
        answer = progress.report(trial, epoch, {"val/elbo": value}, seconds=1.0)


def entries_of(lineup: Lineup, stage: str = "search") -> list[dict]:
    return [entry for entry in lineup.progress.ledger.results()["trials"] if entry["stage"] == stage]
