"""Reads the results of a sweep from its results.json, or those of a run that was trained alone from its folder."""

from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.shell import command
from orchestrator.storage import layout
from orchestrator.storage.json_files import holds, read_object
from orchestrator.sweep.single_run import is_single, results_of

PARTS = {"name": str, "objective": dict, "trials": list}  # of results.json


OF_A_TRIAL = {"id": str, "config": dict, "status": str, "epochs": int, "best": dict}


def read_results(out: Path, name: str) -> dict[str, Any]:
    """The content of OUT/NAME/results.json. Raises UserError if there is no such sweep or the file is damaged."""
    file = out / name / layout.RESULTS
    if not file.is_file() and is_single(out / name):
        return results_of(out / name)
    if not file.is_file():
        there = layout.names_with(out, layout.RESULTS, layout.CONFIG)
        raise UserError(f"{file}: no such results. Sweeps and runs in {out}: {there}.")
    cure = f"Written anew by: {command('resume', name, out)}"
    found = read_object(file, cure)
    if not (holds(found, PARTS) and all(holds(trial, OF_A_TRIAL) for trial in found["trials"])):
        raise UserError(f"{file}: is damaged: it holds no sweep's results. {cure}")
    return found
