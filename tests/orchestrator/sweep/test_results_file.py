"""results.json: statuses, best and last epochs, and numbers that are not finite."""

import json
import math

import pytest

from orchestrator.sweep.results_file import ResultsFile
from tests.support.results_files import results_file_in


def test_results_hold_the_trials_that_are_over_in_their_order(tmp_path):
    results_file = results_file_in(tmp_path)
    for trial in ("0002", "0001"):
        results_file.begin(trial)
        results_file.add(trial, 1, {"m": 1.0})
    results_file.end("0002", "completed", None)
    assert [trial["id"] for trial in results_file.results()["trials"]] == ["0002"]
    results_file.end("0001", "stopped", "asha@1")
    results_file.write()
    read = json.loads((tmp_path / "results.json").read_text())
    assert read == results_file.results()
    assert [trial["id"] for trial in read["trials"]] == ["0001", "0002"]
    metrics = {"m": 1.0}
    assert read["trials"][0] == {
        **{"id": "0001", "configuration": 1, "config": {"lr": 0.1}, "seed": 7, "stage": "search"},
        **{"status": "stopped"},
        **{"epochs": 1, "retries": 0, "last": metrics},
        **{"best": {"epoch": 1, "m": 1.0}, "checkpoint": None, "reason": "asha@1", "retries": 0},
    }


@pytest.mark.parametrize(("mode", "epoch"), [("max", 2), ("min", 4)])
def test_best_is_the_best_finite_epoch_and_the_first_of_equal_ones(tmp_path, mode, epoch):
    results_file = results_file_in(tmp_path, mode)
    results_file.begin("0001")
    for number, value in enumerate([math.nan, 3.0, 3.0, -1.0, -1.0, math.inf, -math.inf], start=1):
        results_file.add("0001", number, {"m": value, "other": float(number)})
    entry = results_file.end("0001", "completed", None)
    assert entry["best"] == {"epoch": epoch, "m": {2: 3.0, 4: -1.0}[epoch], "other": float(epoch)}
    assert entry["last"] == {"m": None, "other": 7.0}  # JSON has no infinity
    results_file.write()
    assert "Infinity" not in (tmp_path / "results.json").read_text()


def test_an_epoch_told_again_is_known(tmp_path):
    results_file = results_file_in(tmp_path)
    assert results_file.begin("0001") and not results_file.begin("0001")
    assert [results_file.add("0001", epoch, {"m": 1.0}) for epoch in (1, 1, 2, 1)] == [True, False, True, False]
    assert results_file.entries["0001"]["epochs"] == 2


def test_an_interrupted_sweep_lists_what_had_begun(tmp_path):
    results_file = results_file_in(tmp_path)
    results_file.begin("0001")
    results_file.add("0001", 1, {"m": 1.0})
    results_file.interrupt()
    assert [(trial["status"], trial["reason"]) for trial in results_file.results()["trials"]] == [
        ("stopped", "interrupted")
    ]


def test_the_checkpoint_is_the_best_one_where_there_is_one(tmp_path):
    results_file = results_file_in(tmp_path)
    for trial, files in {"0001": ["checkpoint.pt"], "0002": ["checkpoint.pt", "best.pt"]}.items():
        (tmp_path / trial).mkdir()
        for file in files:
            (tmp_path / trial / file).touch()
        results_file.begin(trial)
        results_file.end(trial, "stopped", None)
    assert [trial["checkpoint"] for trial in results_file.results()["trials"]] == [
        str(tmp_path / "0001" / "checkpoint.pt"),
        str(tmp_path / "0002" / "best.pt"),
    ]


def test_several_seeds_add_the_means_of_their_configurations(tmp_path):
    known = {"configuration": 1, "config": {"lr": 0.1}, "stage": "search"}
    trials = {
        name: known | {"seed": seed, "folder": str(tmp_path / name)} for seed, name in enumerate(("0001", "0002"))
    }
    results_file = ResultsFile(tmp_path, "a", {"metric": "m", "mode": "max"}, trials)
    for trial, value in zip(trials, (1.0, 4.0), strict=True):
        results_file.begin(trial)
        results_file.add(trial, 1, {"m": value})
        results_file.end(trial, "completed", None)
    results_file.write()
    (standing,) = json.loads((tmp_path / "results.json").read_text())["configurations"]
    assert (standing["mean"], standing["std"], standing["n"], standing["trials"]) == (2.5, 1.5, 2, ["0002", "0001"])
    assert [trial["configuration"] for trial in results_file.results()["trials"]] == [1, 1]


def test_a_trial_without_a_finite_objective_has_no_best_epoch(tmp_path):
    results_file = results_file_in(tmp_path)
    results_file.begin("0001")
    results_file.add("0001", 1, {"m": math.nan})
    assert results_file.end("0001", "diverged", "nll at step 3")["best"] == {}
