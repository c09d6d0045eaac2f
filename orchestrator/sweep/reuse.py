"""Finds trials of earlier sweeps to reuse: of the same Run, with the same code and data, and trained in full."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import orchestrator
import trainables
from orchestrator.space.candidates import same_run
from orchestrator.storage import layout
from orchestrator.storage.blobs import exists
from orchestrator.storage.metric_lines import from_json, metrics_of
from orchestrator.sweep.results_file import up_to_date
from trainables.common.errors import DataError
from trainables.common.roots import Root, recorded, root_of
from trainables.data.fingerprints import Fingerprint, changed
from trainables.run import Run

if TYPE_CHECKING:
    from orchestrator.spec.records import Resources

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torchvision", "pillow", "pyarrow", "h5py", "optuna", "ray")
"""Packages that may affect the numbers: they compute, read data, draw configurations, or place workers."""
STRANGE = (OSError, ValueError, LookupError, TypeError, AttributeError)  # what files of other versions may raise
GPU_NAME_S = 10  # the longest that nvidia-smi may take


class Finished(NamedTuple):
    """A trial that was trained in full in an earlier sweep."""

    source: str  # as "sweep/0003"
    folder: Path


def made_with(data_root: Root, resources: "Resources | None" = None) -> dict[str, Any]:
    """What decides a run's numbers besides the Run and its files. `resources` are a trial's; None: all of the machine.

    `orchestrator` is a digest of the code that decides which trials are trained, and for how long.
    """
    return software() | {"data_root": recorded(data_root)} | placed(resources)


def software() -> dict[str, Any]:
    """The code and packages of this process: what no two nodes of a sweep may differ in."""
    return {
        "code": digest_of(trainables),
        "orchestrator": digest_of(orchestrator),
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
    }


def digest_of(package: ModuleType) -> str:
    """A digest of all Python files of a package."""
    home, digest = Path(package.__file__).parent, hashlib.sha256()
    for file in sorted(home.rglob("*.py")):
        digest.update(f"\0{file.relative_to(home)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def placed(resources: "Resources | None") -> dict[str, Any]:
    """The device, threads and workers of a run: sums computed by others differ in their last digits."""
    import torch

    gpu = torch.cuda.is_available() if resources is None else resources.gpus_per_worker > 0
    threads = torch.get_num_threads() if resources is None else resources.threads
    device = gpu_name() if gpu else f"cpu {cpu_capability()}"
    together = resources.trials_per_slot if resources else 1
    known = {"device": device, "threads": threads, "workers": resources.workers if resources else 1}
    return known | ({} if together in (1, "auto") else {"trials_per_slot": together})


def cpu_capability() -> str:
    """The vector instructions that torch uses here, such as `AVX2`."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


def gpu_name() -> str:
    """The kinds of GPU of this machine, found without occupying one; `gpu` if they are not known."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=GPU_NAME_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "gpu"
    return ", ".join(sorted(set(said.splitlines()))) or "gpu"


class FinishedTrials:
    """The finished trials of all other sweeps beside the one in `folder` with equal `made_with` and objective.

    Left out are sweeps whose code or data changed while they ran, trials that stopped early, trials whose data files
    have changed since, and files of other versions that cannot be read.
    """

    def __init__(self, folder: Path, made_with: dict[str, Any], objective: dict[str, str]):
        self.folder, self.made_with, self.objective = folder, made_with, objective

    def like(self, config: dict[str, Any]) -> Finished | None:
        """The finished trial that equals the one of a slot's config, if there is one."""
        return self._finished.get((same_run(config["run"]), config["last_epoch"]))

    @cached_property
    def _finished(self) -> dict[tuple[str, int], Finished]:
        found = {}
        for file in sorted(self.folder.parent.glob(f"*/{layout.RESULTS}")):
            if file.parent != self.folder:
                found |= {key: trial for key, trial in self._of_sweep(file).items() if key not in found}
        return found

    def _of_sweep(self, file: Path) -> dict[tuple[str, int], Finished]:
        try:
            results = up_to_date(file.parent, json.loads(file.read_text(encoding="utf-8")))
            if (numbers(results["made_with"]), results["objective"]) != (numbers(self.made_with), self.objective):
                return {}
            completed = [trial for trial in results["trials"] if trial["status"] == "completed"]
        except STRANGE:
            return {}
        files = Files(file.parent, results.get("data"), root_of(self.made_with["data_root"]))
        trials = (_finished(file.parent, trial, self.objective["metric"], files) for trial in completed)
        return {key: trial for key, trial in trials if key}


def numbers(made_with: dict[str, Any]) -> dict[str, Any]:
    """The part of `made_with` that decides the numbers of a trial trained in full: no scheduler affects these."""
    return {name: value for name, value in made_with.items() if name != "orchestrator"}


class Files:
    """Whether data files are those on which a sweep was trained; `known` is their fingerprint, if it was recorded."""

    def __init__(self, sweep: Path, known: Fingerprint | None, data_root: Root):
        self.sweep, self.known, self.data_root = sweep, known, data_root
        self.answers: dict[str, bool] = {}

    def unchanged(self, run: dict[str, Any]) -> bool:
        """Whether the data files of a Run are unchanged; each set is checked once. Raises STRANGE and DataError."""
        key = same_run(run["data"])
        if key not in self.answers:
            self.answers[key] = self._older(run["data"]) if self.known is None else self._same(run)
        return self.answers[key]

    def _same(self, run: dict[str, Any]) -> bool:
        return not changed(self.known, Run.model_validate(run).data, self.data_root)

    def _older(self, data: dict[str, Any]) -> bool:
        """Whether the user's own file, or folder with all in it, is older than the sweep. True for other data sets."""
        own = data.get("path") or data.get("images")
        began = (self.sweep / layout.SPEC).stat().st_mtime
        return not own or all(path.stat().st_mtime < began for path in (Path(own), *Path(own).rglob("*")))


def copy(found: Finished, folder: Path) -> list[dict[str, float]]:
    """Copy a finished trial into another's folder, and return the metrics after each epoch. Raises OSError."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(found.folder, beside, ignore=shutil.ignore_patterns(layout.CONFIG))
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
    return _epochs(folder)


def _finished(
    sweep: Path, trial: dict[str, Any], metric: str, files: Files
) -> tuple[tuple[str, int] | None, Finished | None]:
    """A trial of a sweep, with what must be equal as its key; None if files are missing or its data have changed."""
    try:
        folder = sweep / layout.TRIALS / trial["id"]
        found = Finished(trial.get("reused_from") or f"{sweep.name}/{trial['id']}", folder)
        run = json.loads((folder / layout.CONFIG).read_text(encoding="utf-8"))["run"]
        epochs = _epochs(folder)
        whole = exists(folder / layout.CHECKPOINT) and len(epochs) == trial["epochs"]
        measured = all(metric in epoch for epoch in epochs)
        last = run["epochs"] if run.get("early_stopping") else trial["epochs"]
        key = (same_run(run), last) if whole and measured and files.unchanged(run) else None
    except (*STRANGE, DataError):
        return None, None
    return key, found


def _epochs(folder: Path) -> list[dict[str, float]]:
    lines = (folder / layout.METRICS).read_text(encoding="utf-8").splitlines()
    return [metrics_of(from_json(line)) for line in lines]
