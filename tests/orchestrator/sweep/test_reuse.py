"""Trials of earlier sweeps: which may stand for a new one, and what is taken from them."""

import json
import math
import os

import numpy as np
import pytest

from orchestrator.spec.records import Resources
from orchestrator.sweep import reuse
from orchestrator.sweep.reuse import FinishedTrials, copy, made_with
from tests.support.data_files import picture, put
from tests.support.small_runs import a_run
from trainables.data import Array
from trainables.data.fingerprints import fingerprint

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
    results |= {key: value for key, value in changes.items() if key in results or (key == "data" and value is not None)}
    (out / name / "results.json").write_text(json.dumps(results))


def slot_config(run: dict, **changes) -> dict:
    return {"run": run, "last_epoch": 2} | changes


@pytest.fixture
def run() -> dict:
    return a_run().model_dump(mode="json")


def found(out, config: dict) -> str | None:
    (out / "new").mkdir(exist_ok=True)
    finished = FinishedTrials(out / "new", MADE, OBJECTIVE).like(config)
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


def test_a_folder_of_pictures_that_was_changed_since_is_no_equal_run(tmp_path, run):
    folder = tmp_path / "pictures"
    (folder / "class").mkdir(parents=True)
    (folder / "class" / "1.png").touch()
    run["data"] = {"name": "array", "path": None, "images": str(folder)}
    a_sweep(tmp_path, "old", run)
    began = (tmp_path / "old" / "spec.yaml").stat().st_mtime
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (began - 10, began - 10))
    assert found(tmp_path, slot_config(run)) == "old/0001"
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (began + 10, began + 10))
        assert found(tmp_path, slot_config(run)) is None
        os.utime(path, (began - 10, began - 10))


@pytest.mark.parametrize("kind", ["path", "images"])
def test_files_whose_fingerprint_was_noted_are_told_by_their_content(tmp_path, kind):
    place = tmp_path / ("x.npy" if kind == "path" else "pictures")
    rows = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    inner = place
    if kind == "images":
        put(place, {f"{number}.png": picture(pixels) for number, pixels in enumerate(rows)})
        inner = place / "7.png"
    else:
        np.save(place, rows)
    run = a_run(data={"name": "array", kind: str(place)}).model_dump(mode="json")
    known = fingerprint(Array(**{kind: str(place)}), None)
    a_sweep(tmp_path, "old", run, data=known)
    os.utime(inner, (1e10, 1e10))
    assert found(tmp_path, slot_config(run)) == "old/0001"
    inner.write_bytes(inner.read_bytes()[:-1] + b"?")
    os.utime(inner, (1, 1))  # though it is older than the sweep
    assert found(tmp_path, slot_config(run)) is None


STRANGE = {
    "results": ["[]", "null", "3", "{}", '{"made_with": MADE, "objective": OBJECTIVE}', "{"],
    "config": ["[]", "{}", "null", '{"run": null}', '{"run": {}}', '{"run": {"data": null}}', '{"run": {"data": {}}}'],
    "metrics": ["[]\n[]\n", "3\n4\n", '{"epoch": 1}\n{"epoch": 2}\n', "{\n{\n", "null\nnull\n"],
    "trial": ["{}", "[]", "null", '{"status": "completed"}', '{"status": "completed", "id": "0001"}', '{"id": "0001"}'],
}


@pytest.mark.parametrize(("where", "text"), [(where, text) for where in STRANGE for text in STRANGE[where]])
@pytest.mark.parametrize("data", [None, {}], ids=["as before", "noted"])
def test_what_another_version_has_written_is_passed_over_and_costs_no_other(tmp_path, run, where, text, data):
    for name in ("a", "b"):
        a_sweep(tmp_path, name, run, data=data)
    text = text.replace("MADE", json.dumps(MADE)).replace("OBJECTIVE", json.dumps(OBJECTIVE))
    trial = tmp_path / "a" / "trials" / "0001"
    file = {"config": trial / "config.json", "metrics": trial / "metrics.jsonl"}.get(where, tmp_path / "a/results.json")
    if where == "trial":
        text = json.dumps(json.loads(file.read_text()) | {"trials": [json.loads(text)]})
    file.write_text(text)
    assert found(tmp_path, slot_config(run)) == "b/0001"


@pytest.mark.parametrize(
    ("name", "value"),
    [("device", "NVIDIA H100"), ("threads", 2), ("workers", 2), ("python", "3.12"), ("packages", {})],
)
def test_what_can_change_numbers_keeps_trials_apart_and_how_they_are_chosen_does_not(tmp_path, run, name, value):
    made = made_with(None, Resources())
    a_sweep(tmp_path, "old", run, made_with=made | {"orchestrator": "other"})
    (tmp_path / "new").mkdir()
    assert FinishedTrials(tmp_path / "new", made, OBJECTIVE).like(slot_config(run))
    assert name in made and not FinishedTrials(tmp_path / "new", made | {name: value}, OBJECTIVE).like(slot_config(run))


def test_all_that_reads_data_and_computes_is_named_with_its_version():
    made = made_with(None, Resources(cpus_per_worker=3, workers=2))
    assert {"pillow", "pyarrow", "numpy", "torch", "torchvision", "scikit-learn", "h5py"} <= made["packages"].keys()
    assert made["threads"] == 3 and made["workers"] == 2 and made["device"].startswith("cpu ")


def test_a_gpu_is_known_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert made_with(None, Resources(gpus_per_worker=0.5))["device"] == "gpu"
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho NVIDIA B200\necho NVIDIA A100\necho NVIDIA B200\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert made_with(None, Resources(gpus_per_worker=0.5))["device"] == "NVIDIA A100, NVIDIA B200"


def test_a_copy_has_metrics_checkpoint_and_pictures_but_another_identity(tmp_path, run):
    a_sweep(tmp_path, "old", run)
    folder = tmp_path / "new" / "trials" / "0005"
    folder.mkdir(parents=True)
    (folder / "half").touch()  # a kill left it
    finished_trials = FinishedTrials(tmp_path / "new", MADE, OBJECTIVE)
    assert copy(finished_trials.like(slot_config(run)), folder) == [{"val/elbo": -1.0}, {"val/elbo": -0.5}]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.pt", "metrics.jsonl", "pictures"]
    assert (folder / "pictures" / "0002" / "samples.png").exists()


def test_numbers_that_are_not_finite_come_back_as_nan(tmp_path, run):
    a_sweep(tmp_path, "old", run, epochs=1)
    file = tmp_path / "old" / "trials" / "0001" / "metrics.jsonl"
    file.write_text('{"epoch": 1, "images": 9, "seconds": 1.0, "val/elbo": null}\n')
    finished_trials = FinishedTrials(tmp_path / "new", MADE, OBJECTIVE)
    [metrics] = copy(finished_trials.like(slot_config(run, last_epoch=1)), tmp_path / "copied")
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


def test_a_run_that_ended_early_is_found_for_one_that_would(tmp_path):
    run = a_run(epochs=9, early_stopping={"patience": 1}).model_dump(mode="json")
    a_sweep(tmp_path, "old", run)  # after two epochs
    assert found(tmp_path, slot_config(run, last_epoch=9)) == "old/0001"
    assert found(tmp_path, slot_config(a_run(epochs=9).model_dump(mode="json"), last_epoch=9)) is None
