"""`vaeorch results SWEEP/ID`: all of one trial, also of one that still trains, and of a run."""

import csv
import io
import json

import pytest

from orchestrator.reporting.trial_sheet import sheet_of
from orchestrator.storage import layout
from tests.support.findings import finding
from tests.support.one_slot import LOW
from tests.support.sweep_folders import draw, swept, write_epochs


@pytest.fixture
def folder(tmp_path):
    """A sweep whose trial 0001 has a model, pictures and findings."""
    folder = swept(tmp_path / "a", search=LOW, trials=2, scheduler={"name": "none"})
    home = folder / layout.TRIALS / "0001"
    (home / layout.BEST).touch()
    draw(home, "samples.png")
    epoch = json.loads((folder / layout.RESULTS).read_text())["trials"][0]["best"]["epoch"]
    found = {"k": finding("frechet", fid=22.5) | {"epoch": epoch, "undefined": "", "pictures": [], "checkpoint": "x"}}
    (home / layout.EVALUATIONS).write_text(json.dumps(found))
    return folder


def test_a_trial_is_shown_with_its_settings_epochs_evaluations_and_files(folder, vaeorch):
    code, said, err = vaeorch("results", "a/0001", "--out", folder.parent)
    lines = [line.split() for line in said.splitlines()]
    assert (code, err) == (0, "") and said.startswith("a/0001: completed, 4 epochs\n")
    assert ["best", "(epoch", "4)", "last", "(epoch", "4)"] in lines and ["fid", "22.5"] in lines
    assert "network        {" in said and "clip_norm: null" in said
    home = folder / layout.TRIALS / "0001"
    for name, file in {"folder": home, "checkpoint": home / layout.BEST, "pictures": home / "pictures"}.items():
        assert [name, str(file)] in lines
    assert not any(line[:1] == ["error"] for line in lines)  # there is none


def test_a_trial_comes_in_other_forms(folder, vaeorch):
    found = json.loads(vaeorch("results", "a/0001", "--out", folder.parent, "--format", "json")[1])
    assert (found["name"], found["status"], found["epoch"]) == ("a/0001", "completed", {"best": 4, "last": 4})
    assert list(found["metrics"]["best"])[0] == "val/elbo" and found["run"]["data"]["name"] == "digits"
    assert found["files"]["checkpoint"] == str(folder / layout.TRIALS / "0001" / layout.BEST)
    rows = list(csv.DictReader(io.StringIO(vaeorch("results", "a/0001", "--out", folder.parent, "--format", "csv")[1])))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["val/elbo"]) == found["metrics"]["last"]["val/elbo"]
    text = vaeorch("results", "a/0001", "--out", folder.parent, "--format", "markdown")[1]
    assert "| a/0001 | best (epoch 4) | last (epoch 4) |" in text and "| fid | 22.5 |" in text


def test_a_trial_that_still_trains_is_shown_as_far_as_it_is(tmp_path):
    folder = swept(tmp_path / "a", lines=5, search=LOW, trials=2)
    sheet = sheet_of(folder, "0001")
    assert sheet.lines and sheet.entry["status"] == "not ended" and sheet.epochs["last"] == len(sheet.lines)


def test_a_run_is_shown_like_a_trial(tmp_path, vaeorch):
    folder = write_epochs(tmp_path / "alone", "val/elbo", [1.0, 3.0, 2.0])
    config = {"id": "alone", "config": {}, "seed": 7, "run": {"epochs": 3, "data": {"name": "digits"}}}
    (folder / layout.CONFIG).write_text(json.dumps(config))
    code, said, _ = vaeorch("results", "alone", "--out", tmp_path)
    lines = [line.split() for line in said.splitlines()]
    assert code == 0 and "alone: completed, 3 epochs" in said and ["seed", "7"] in lines
    assert ["val/elbo", "3", "2"] in lines and ["best", "(epoch", "2)", "last", "(epoch", "3)"] in lines


def test_trials_and_sweeps_that_are_not_there_are_told_with_those_that_are(folder, vaeorch):
    code, _, err = vaeorch("results", "a/0009", "--out", folder.parent)
    assert code == 2 and len(err.splitlines()) == 1 and "0001, 0002" in err
    code, _, err = vaeorch("results", "b/0001", "--out", folder.parent)
    assert code == 2 and "Sweeps in" in err and err.strip().endswith(": a.")
