"""Tags of an MLflow run that say where its files are now, so that a run in a table leads to its model."""

from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.storage import layout
from orchestrator.storage.blobs import exists
from orchestrator.storage.json_files import read_object
from orchestrator.tracking.spool import PARENT

FOLDER, CHECKPOINT, DATASET = "folder", "checkpoint", "dataset"


def tags_of(sweep: Path, uid: str) -> dict[str, str]:
    """The tags of the run `uid` of the sweep or run in a folder: its own folder, its best model, its data set.

    Those are left out of which there is none yet.
    """
    home = sweep.resolve() if uid == PARENT else layout.trial_folder(sweep.resolve(), uid)
    if not home.is_dir():
        return {}
    best, dataset = home / layout.BEST, _dataset(home)
    return {
        FOLDER: str(home),
        **({CHECKPOINT: str(best)} if exists(best) else {}),
        **({DATASET: dataset} if dataset else {}),
    }


def _dataset(home: Path) -> str:
    """The data set of a trial or run; empty if its config.json is not there, or damaged."""
    try:
        return str(read_object(home / layout.CONFIG, "")["run"]["data"]["name"])
    except (UserError, LookupError, TypeError):
        return ""
