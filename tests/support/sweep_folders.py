"""Folders of sweeps to report on: whole ones of `one_slot`, and ones that are written by hand."""

import json
import math
from pathlib import Path
from typing import Any

from orchestrator.storage.metric_lines import to_json
from orchestrator.sweep.folder import as_yaml
from orchestrator.sweep.results_file import ResultsFile
from tests.support.journals import Killed, journal_of
from tests.support.one_slot import drive, opened, spec_of

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)
"""A picture of one red pixel."""

NAN, INF = math.nan, math.inf


def swept(folder: Path, lines: int = 10**6, **changes) -> Path:
    """A sweep of `one_slot` with all files that one leaves, but weights and pictures. It is killed after `lines`."""
    folder.mkdir(parents=True)
    spec = spec_of(**changes)
    queue = opened(folder, spec, lines)
    try:
        drive(queue)
        queue.state.results_file.write()
    except Killed:
        pass
    (folder / "spec.yaml").write_text(as_yaml(spec))
    for trial, config in queue.state.results_file.trials.items():
        epochs = [event for event in journal_of(folder) if event["event"] == "epoch" and event["trial"] == trial]
        own = write_epochs(folder / "trials" / trial, "val/elbo", [event["metrics"]["val/elbo"] for event in epochs])
        (own / "config.json").write_text(json.dumps({key: config[key] for key in ("id", "config", "seed", "run")}))
    return folder


def write_epochs(folder: Path, metric: str, values: list[float]) -> Path:
    """The folder of a trial that had these values, an epoch of 36 s each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"epoch": epoch, "images": 100 * epoch, "seconds": 36.0, metric: value, "val/kl": float(epoch)}
        for epoch, value in enumerate(values, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{to_json(line)}\n" for line in lines))
    return folder


def one(values: list[float], config: dict[str, Any] | None = None, **ending: Any) -> dict[str, Any]:
    """A trial of `written`: its objective after each epoch, what varies, and how it ended."""
    known = {"status": "completed", "reason": None, "configuration": None, "seed": 0, "stage": "search"}
    return known | {"values": values, "config": {} if config is None else config} | ending


def written(folder: Path, trials: list[dict[str, Any]], mode: str = "max", **spec: Any) -> Path:
    """A sweep in which these trials have ended, as `results.json`, `spec.yaml` and the trials' metrics tell of it."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"{number:04d}" for number in range(1, len(trials) + 1)]
    configs = {
        id: {key: trial[key] for key in ("config", "seed", "stage")}
        | {"configuration": trial["configuration"] or number, "folder": str(folder / "trials" / id)}
        for number, (id, trial) in enumerate(zip(ids, trials, strict=True), start=1)
    }
    results_file = ResultsFile(folder, folder.name, {"metric": "m", "mode": mode}, configs)
    for id, trial in zip(ids, trials, strict=True):
        results_file.begin(id)
        for epoch, value in enumerate(trial["values"], start=1):
            results_file.add(id, epoch, {"m": value, "val/kl": float(epoch)})
        results_file.end(id, trial["status"], trial["reason"])
        write_epochs(folder / "trials" / id, "m", trial["values"])
    results_file.write()
    known = {"name": folder.name, "description": "", "run": {"data": {"name": "digits"}, "epochs": 4}}
    (folder / "spec.yaml").write_text(json.dumps(known | spec))  # JSON is YAML
    return folder


def draw(trial: Path, *names: str, epoch: int = 4, content: bytes = PNG) -> None:
    """Put pictures into the folder of a trial."""
    folder = trial / "pictures" / f"{epoch:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(content)


def add_evaluations(folder: Path, trial: str, findings: list[dict[str, Any]]) -> None:
    """Put findings into the entry of a trial of results.json."""
    results = json.loads((folder / "results.json").read_text())
    [entry] = [entry for entry in results["trials"] if entry["id"] == trial]
    entry["evaluations"] = findings
    (folder / "results.json").write_text(json.dumps(results))
