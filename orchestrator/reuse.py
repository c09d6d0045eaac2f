"""Trials of earlier sweeps that need not be trained again: the same Run, made with the same code and data, in full."""

import hashlib
import json
import os
import shutil
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import trainables
from orchestrator.space import same_run
from trainables.roots import Root, recorded

PACKAGES = ("numpy", "scikit-learn", "torch", "torchvision")  # that have a part in the numbers
OWN = "config.json"  # of a trial's folder, what no other trial can take over


class Finished(NamedTuple):
    """A trial that came to its end in an earlier sweep."""

    source: str  # as "sweep/0003"
    folder: Path


def made_with(data_root: Root) -> dict[str, Any]:
    """What decides a run's numbers besides the Run: a digest of the code, and where the data lie."""
    home = Path(trainables.__file__).parent
    digest = hashlib.sha256(repr([(name, version(name)) for name in PACKAGES]).encode())
    for file in sorted(home.rglob("*.py")):
        digest.update(f"\0{file.relative_to(home)}\0".encode() + file.read_bytes())
    return {"code": digest.hexdigest(), "data_root": recorded(data_root)}


class Shelf:
    """The finished trials of all other sweeps beside the one in `folder`, made with the same and by the same objective.

    Left out are sweeps whose code or data changed between the beginning and the end, trials that stopped early, and
    trials on a file of data that was changed after their sweep began.
    """

    def __init__(self, folder: Path, made_with: dict[str, Any], objective: dict[str, str]):
        self.folder, self.made_with, self.objective = folder, made_with, objective

    def like(self, config: dict[str, Any]) -> Finished | None:
        """The finished trial that a slot's config is equal to, if there is one."""
        return self._finished.get((same_run(config["run"]), config["last_epoch"]))

    @cached_property
    def _finished(self) -> dict[tuple[str, int], Finished]:
        found = {}
        for file in sorted(self.folder.parent.glob("*/results.json")):
            if file.parent != self.folder:
                found |= {key: trial for key, trial in self._of_sweep(file).items() if key not in found}
        return found

    def _of_sweep(self, file: Path) -> dict[tuple[str, int], Finished]:
        try:
            results = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:  # damaged: nothing can be taken from it
            return {}
        if (results.get("made_with"), results["objective"]) != (self.made_with, self.objective):
            return {}
        trials = (_finished(file.parent, trial) for trial in results["trials"] if trial["status"] == "completed")
        return {key: trial for key, trial in trials if key}


def copy(found: Finished, folder: Path) -> list[dict[str, float]]:
    """Copy a finished trial into the folder of another; the metrics after each of its epochs. Raises OSError."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(found.folder, beside, ignore=shutil.ignore_patterns(OWN))
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
    return _epochs(folder)


def _finished(sweep: Path, trial: dict[str, Any]) -> tuple[tuple[str, int] | None, Finished]:
    """A trial of a sweep by what must be equal; None if something of it is missing, or its data changed since."""
    folder = sweep / "trials" / trial["id"]
    found = Finished(trial.get("reused_from") or f"{sweep.name}/{trial['id']}", folder)
    try:
        run = json.loads((folder / "config.json").read_text(encoding="utf-8"))["run"]
        whole = (folder / "checkpoint.pt").is_file() and len(_epochs(folder)) == trial["epochs"]
        data = Path(run["data"].get("path", sweep))
        unchanged = data == sweep or data.stat().st_mtime < (sweep / "spec.yaml").stat().st_mtime
    except (OSError, ValueError):
        return None, found
    return ((same_run(run), trial["epochs"]) if whole and unchanged else None), found


def _epochs(folder: Path) -> list[dict[str, float]]:
    from orchestrator.trial_folder import from_json, metrics_of

    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [metrics_of(from_json(line)) for line in lines]
