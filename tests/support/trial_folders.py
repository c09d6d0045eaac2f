"""Folders of trials: what a slot is told of one, a run that breaks off in one, and what is left there."""

import json
from itertools import islice
from pathlib import Path

from orchestrator.storage.trial_folder import TrialFolder, results
from tests.support.small_runs import a_run
from trainables.run import Run


def config_of(run: Run, **changes) -> dict:
    known = {"id": "0001", "config": {"epochs": run.epochs}, "seed": 0, "run": run.model_dump(mode="json")}
    return known | {"data_root": None, "draws": True, "pictures_every": None} | changes


def folder_in(path: Path, mode: str = "max") -> TrialFolder:
    return TrialFolder(path, "val/elbo", mode)


def numbers(lines: list[dict]) -> list[dict]:
    """Without the seconds, which differ from run to run."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def lines_in(path: Path) -> list[dict]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def broken_run(tmp_path, epochs: int) -> dict:
    config = config_of(a_run(epochs=4))
    list(islice(results(config, folder_in(tmp_path)), epochs))
    return config
