"""A small sweep that really trains, on one slot and without Ray, and what a bucket keeps of it."""

import json
from collections.abc import Callable
from pathlib import Path

from orchestrator.schedulers.base import PAUSE
from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole
from orchestrator.storage.snapshots import Snapshots
from orchestrator.storage.trial_folder import TrialFolder, results
from orchestrator.sweep.folder import as_yaml
from orchestrator.sweep.state import SweepState
from orchestrator.tracking.spool import Spool
from tests.support.journals import journal_of
from tests.support.one_slot import RATES, drive, opened, spec_of
from tests.support.small_runs import a_run
from tests.support.trial_folders import lines_in, numbers

EPOCHS = 3
ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": EPOCHS}
SPEC = spec_of(
    RATES,
    scheduler=ASHA,
    pictures=None,
    run=a_run(epochs=EPOCHS, data={"name": "digits", "train_rows": 64, "val_rows": 32}).model_dump(mode="json"),
)


def train_all(folder: Path, step: Callable[[], None] = lambda: None) -> None:
    """Train the sweep in a folder from wherever it is; `step` is called where Tune's steps end."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / layout.SPEC, as_yaml(SPEC))
    spool = Spool(folder / layout.SPOOL, "")

    def occupy(state: SweepState, trial: str) -> None:
        state.begin(trial)
        config = state.results_file.trials[trial]
        of = TrialFolder(Path(config["folder"]), **config["objective"])
        for result in results(config, of):
            if result["diverged"]:
                state.end(trial, "diverged", "it did")
            else:
                answer = state.report(trial, result["epoch"], result["metrics"], result["seconds"])
                spool.append(trial, {"kind": "epoch", "epoch": result["epoch"]})
            if result["finished"]:
                state.end(trial, "completed", None)
            elif answer == PAUSE:
                of.draw()
            state.results_file.write()
            step()
            if answer == PAUSE:
                return

    try:
        drive(opened(folder, SPEC), occupy).state.results_file.write()
    finally:
        spool.close()
    step()


def outcome_of(folder: Path) -> dict:
    """All that must not depend on where a sweep was interrupted: times and paths are left out."""
    trials = sorted((folder / layout.TRIALS).iterdir())
    untimed = [{key: value for key, value in event.items() if key != "seconds"} for event in journal_of(folder)]
    return {
        "results": json.loads((folder / layout.RESULTS).read_text().replace(str(folder), "FOLDER")),
        "journal": untimed[1:],
        "metrics": {trial.name: numbers(lines_in(trial)) for trial in trials},
        "best": {trial.name: (trial / layout.BEST).read_bytes() for trial in trials if (trial / layout.BEST).exists()},
        "pictures": {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.png")},
    }


def keep(snapshots: Snapshots) -> None:
    """Make a snapshot, and wait until it is there."""
    snapshots.due()
    if snapshots.thread.ident:
        snapshots.thread.join()
