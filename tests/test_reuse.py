"""Trials of earlier sweeps: which may stand for a new one, and what is taken from them."""

import json
import math
import os

import pytest

from orchestrator import reuse
from orchestrator.reuse import Shelf, copy, made_with
from tests.small_runs import a_run

OBJECTIVE = {"metric": "val/elbo", "mode": "max"}
MADE = {"code": "abc", "data_root": None}


def a_sweep(out, name: str, run: dict, epochs: int = 2, **changes) -> None:
    """A finished sweep of one trial, with the words of `changes` in its results or its trial's entry."""
    folder = out / name / "trials" / "0001"
    (folder / "pictures" / "0002").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"id": "0001", "run": run}))
    lines = [{"epoch": epoch, "images": 9, "seconds": 1.0, "val/elbo": -1.0 / epoch} for epoch in range(1, epochs + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "checkpoint.pt").write_bytes(b"weights")
    (folder / "pictures" / "0002" / "samples.png").touch()
    (out / name / "spec.yaml").touch()
    trial = {"id": "0001", "status": "completed", "epochs": epochs}
    trial |= {key: value for key, value in changes.items() if key in ("status", "reused_from")}
    results = {"made_with": MADE, "objective": OBJECTIVE, "trials": [trial]}
    results |= {key: value for key, value in changes.items() if key in results}
    (out / name / "results.json").write_text(json.dumps(results))


def slot_config(run: dict, **changes) -> dict:
    return {"run": run, "last_epoch": 2} | changes


@pytest.fixture
def run() -> dict:
    return a_run().model_dump(mode="json")


def found(out, config: dict) -> str | None:
    (out / "new").mkdir(exist_ok=True)
    finished = Shelf(out / "new", MADE, OBJECTIVE).like(config)
    return finished and finished.source


def test_an_equal_run_that_was_finished_is_found(tmp_path, run):
    a_sweep(tmp_path, "old", run)
    assert found(tmp_path, slot_config(run)) == "old/0001"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "stopped"},
        {"made_with": MADE | {"code": "other"}},
        {"made_with": MADE | {"data_root": "/elsewhere"}},
        {"made_with": None},  # the code changed while it ran
        {"objective": OBJECTIVE | {"mode": "min"}},
        {"epochs": 1},
    ],
)
def test_what_differs_is_not_found(tmp_path, run, changes):
    a_sweep(tmp_path, "old", run, **changes)
    assert found(tmp_path, slot_config(run)) is None


def test_another_run_is_not_found(tmp_path, run):
    a_sweep(tmp_path, "old", run)
    assert found(tmp_path, slot_config(run | {"seed": 1})) is None
    assert found(tmp_path, slot_config(run, last_epoch=3)) is None


@pytest.mark.parametrize("lost", ["checkpoint.pt", "metrics.jsonl", "config.json"])
def test_a_trial_whose_files_are_gone_is_not_found(tmp_path, run, lost):
    a_sweep(tmp_path, "old", run)
    (tmp_path / "old" / "trials" / "0001" / lost).unlink()
    assert found(tmp_path, slot_config(run)) is None


def test_damaged_results_are_passed_over(tmp_path, run):
    a_sweep(tmp_path, "a", run)
    a_sweep(tmp_path, "b", run)
    (tmp_path / "a" / "results.json").write_text("{")
    assert found(tmp_path, slot_config(run)) == "b/0001"


def test_a_sweep_takes_nothing_from_itself(tmp_path, run):
    a_sweep(tmp_path, "new", run)
    assert found(tmp_path, slot_config(run)) is None


def test_a_trial_that_was_taken_over_names_the_one_that_was_trained(tmp_path, run):
    a_sweep(tmp_path, "old", run, reused_from="oldest/0007")
    assert found(tmp_path, slot_config(run)) == "oldest/0007"


def test_a_data_file_that_was_changed_since_is_no_equal_run(tmp_path, run):
    file = tmp_path / "x.npy"
    file.touch()
    run["data"] = {"name": "array", "path": str(file)}
    a_sweep(tmp_path, "old", run)
    times = (tmp_path / "old" / "spec.yaml").stat().st_mtime
    os.utime(file, (times - 10, times - 10))
    assert found(tmp_path, slot_config(run)) == "old/0001"
    os.utime(file, (times + 10, times + 10))
    assert found(tmp_path, slot_config(run)) is None


def test_a_copy_has_metrics_checkpoint_and_pictures_but_another_identity(tmp_path, run):
    a_sweep(tmp_path, "old", run)
    folder = tmp_path / "new" / "trials" / "0005"
    folder.mkdir(parents=True)
    (folder / "half").touch()  # a kill left it
    shelf = Shelf(tmp_path / "new", MADE, OBJECTIVE)
    assert copy(shelf.like(slot_config(run)), folder) == [{"val/elbo": -1.0}, {"val/elbo": -0.5}]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.pt", "metrics.jsonl", "pictures"]
    assert (folder / "pictures" / "0002" / "samples.png").exists()


def test_numbers_that_are_not_finite_come_back_as_nan(tmp_path, run):
    a_sweep(tmp_path, "old", run, epochs=1)
    file = tmp_path / "old" / "trials" / "0001" / "metrics.jsonl"
    file.write_text('{"epoch": 1, "images": 9, "seconds": 1.0, "val/elbo": null}\n')
    shelf = Shelf(tmp_path / "new", MADE, OBJECTIVE)
    [metrics] = copy(shelf.like(slot_config(run, last_epoch=1)), tmp_path / "copied")
    assert math.isnan(metrics["val/elbo"])


def test_the_code_is_every_line_of_what_trains(tmp_path, monkeypatch):
    home = tmp_path / "trainables"
    (home / "deep").mkdir(parents=True)
    monkeypatch.setattr(reuse.trainables, "__file__", str(home / "__init__.py"))
    seen = set()
    for file, text in (("__init__.py", ""), ("deep/a.py", "x = 1"), ("deep/a.py", "x = 2"), ("deep/b.py", "x = 2")):
        (home / file).write_text(text)
        seen.add(made_with(None)["code"])
    (home / "deep" / "a.pyc").write_text("no source")
    assert len(seen) == 4 and made_with(None)["code"] in seen
    assert made_with(tmp_path / "x" / "..")["data_root"] == str(tmp_path)
