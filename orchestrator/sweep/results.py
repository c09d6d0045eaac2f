"""Reads the results of a sweep from its results.json, or those of a run that was trained alone from its folder."""

from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.shell import command
from orchestrator.storage import layout
from orchestrator.storage.json_files import holds, read_object
from orchestrator.sweep.folder import recorded_spec
from orchestrator.sweep.results_file import EVENTS, before_any, up_to_date
from orchestrator.sweep.single_run import is_single, results_of

PARTS = {"name": str, "objective": dict, "trials": list}  # of results.json


OF_A_TRIAL = {"id": str, "config": dict, "status": str, "epochs": int, "best": dict}


def read_results(out: Path, name: str) -> dict[str, Any]:
    """The content of OUT/NAME/results.json, and the trials that have ended since it was written.

    Where there is no such file (yet) all is from the journal. The name and the paths of checkpoints are as they are
    now, wherever it was written.

    Raises UserError if there is no such sweep or the file is damaged.
    """
    folder, file = (out / name).resolve(), out / name / layout.RESULTS
    if file.is_file():
        cure = f"Written anew by: {command('resume', name, out)}"
        found = read_object(file, cure)
        if not (holds(found, PARTS) and all(holds(trial, OF_A_TRIAL) for trial in found["trials"])):
            raise UserError(f"{file}: is damaged: it holds no sweep's results. {cure}")
    elif is_single(out / name):
        return results_of(out / name)
    elif (folder / layout.JOURNAL).is_file():
        objective = recorded_spec(folder).objective
        found = before_any(folder, {"metric": objective.metric, "mode": objective.mode})
    else:
        there = layout.names_with(out, layout.JOURNAL, layout.RESULTS, layout.CONFIG)
        raise UserError(f"{file}: no such results. Sweeps and runs in {out}: {there}.")
    found = up_to_date(folder, found)
    found.pop(EVENTS, None)
    return found | {"name": (out / name).name, "trials": [with_path(trial, folder) for trial in found["trials"]]}


def with_path(trial: dict[str, Any], sweep: Path) -> dict[str, Any]:
    """A trial of results.json with the path of its checkpoint in a sweep's folder, which may have been moved."""
    kept = trial.get("checkpoint")
    return trial | ({"checkpoint": str(layout.trial_folder(sweep, trial["id"]) / Path(kept).name)} if kept else {})
