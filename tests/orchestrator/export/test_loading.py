"""`load` finds a model by the name or path of its sweep, trial, run or exported folder, with data or without."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.errors import UserError
from orchestrator.export import loading
from orchestrator.storage import layout
from tests.support.figures import a_sweep, measure
from tests.support.small_runs import a_run
from trainables import checkpoint
from trainables.common.errors import UsageError


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A sweep of two trials: 0001 is the worse one; and a run that was trained alone, by copy of a trial."""
    out = tmp_path_factory.mktemp("out")
    folder = a_sweep(out, "pair", [({"beta": n}, a_run("ard_vae", seed=n, epochs=1 + n)) for n in (0, 1)])
    measure(folder, "0002", "mse")
    alone = shutil.copytree(folder / "trials" / "0002", out / "alone")
    config = json.loads((alone / layout.CONFIG).read_text())
    (alone / layout.CONFIG).write_text(json.dumps(config | {"config": {}, "seed": 1, "objective": None}))
    return out


@pytest.mark.parametrize("place", ["pair", "pair/0002", "pair/0002@best", "pair/trials/0002", "alone"])
def test_a_model_is_found_by_name_and_by_path(out, place):
    by_name = loading.load(place, out=out) if "trials" not in place else loading.load(out / place)
    by_path = loading.load(f"{out}/{place}")
    assert by_name.run.seed == by_path.run.seed == 1
    assert np.array_equal(by_name.sample(3), by_path.sample(3))


def test_a_path_may_be_written_in_any_way(out, tmp_path, monkeypatch):
    there = shutil.copytree(out / "pair", tmp_path / "a@b" / "pair")
    (tmp_path / "link").symlink_to(there)
    monkeypatch.chdir(there / "trials")
    monkeypatch.setenv("HOME", str(tmp_path))
    ways = [
        f"{there}/",
        f"{there}/0001/../0002",
        "0002",
        "../0002",
        "~/a@b/pair",
        tmp_path / "link",
        f"{there}/0002@best",
    ]
    assert [loading.load(way).run.seed for way in ways] == [1] * len(ways)
    assert loading.load("0002").origin.name == loading.load("../0002").origin.name == "pair/0002"


def test_the_model_of_the_last_epoch_is_asked_for_by_name(out):
    model = loading.load("pair/0001@last", out=out)
    assert model.origin.name == "pair/0001@last" and model.run.seed == 0
    state = checkpoint.load(out / "pair" / "trials" / "0001" / layout.CHECKPOINT)["learner"]
    assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())


def test_metrics_and_evaluations_are_frames(out):
    model = loading.load("pair/0002", out=out)
    assert list(model.metrics.index) == [1, 2] and {"val/elbo", "train/loss"} <= set(model.metrics)
    found = model.evaluations.set_index("name")
    assert found.loc["mse", "metric"] == "mse" and found.loc["mse", "value"] > 0
    assert found.loc["mse", "provenance"]["split"] == "val"
    assert loading.load("pair/0001", out=out).evaluations.empty


MISTAKES = {
    "nowhere": "no trained models here",
    "pair/0009": "no trained trial of pair",
    "pair/0001@first": "after @ comes 'best' or 'last'",
    "a\0b": "is no name of a sweep",
    "x" * 5000: "is no name of a sweep",
}


@pytest.mark.parametrize("place", MISTAKES)
def test_a_place_without_a_model_is_told_in_one_line(out, place):
    with pytest.raises(UserError, match=MISTAKES[place]) as told:
        loading.load(place, out=out)
    assert len(told.value.lines) == 1


@pytest.fixture
def trial(out, tmp_path) -> Path:
    """A copy of the sweep's folder of a trial, to be damaged."""
    shutil.copytree(out / "pair", tmp_path / "pair")
    return tmp_path / "pair" / "trials" / "0002"


def test_what_was_not_kept_is_measured_anew_where_the_data_are(out, trial):
    (trial / layout.FITTED).unlink()
    assert np.array_equal(loading.load(trial).sample(3), loading.load("pair/0002", out=out).sample(3))


def test_rows_that_are_not_those_of_the_training_are_not_taken_for_them(trial, tmp_path):
    own_data(trial, tmp_path / "rows.npy")
    (trial / layout.FITTED).unlink()
    np.save(tmp_path / "rows.npy", np.zeros((40, 5), np.float32))
    with pytest.raises(UsageError, match="have another shape or range"):
        _ = loading.load(trial).relevance


def test_what_another_version_kept_is_measured_anew(out, trial):
    kept = checkpoint.load(trial / layout.FITTED)
    checkpoint.save(trial / layout.FITTED, {"best": kept["best"] | {"new": 1}, "last": kept["last"]})
    assert np.array_equal(loading.load(trial).sample(3), loading.load("pair/0002", out=out).sample(3))


def test_a_data_root_may_be_given_as_text(trial, tmp_path):
    config = json.loads((trial / layout.CONFIG).read_text()) | {"data_root": "/nowhere"}
    (trial / layout.CONFIG).write_text(json.dumps(config))
    (trial / layout.FITTED).unlink()
    assert loading.load(trial, data_root=str(tmp_path)).relevance.score.shape == (6,)  # digits need no files


def own_data(trial: Path, path: Path) -> None:
    """Say that the trial was trained on a file."""
    rows = np.random.default_rng(0).random((400, 8, 8), dtype=np.float32)
    np.save(path, rows)
    config = json.loads((trial / layout.CONFIG).read_text())
    config["run"]["data"] = {"name": "array", "path": str(path)}
    (trial / layout.CONFIG).write_text(json.dumps(config))
    for name in (layout.BEST, layout.CHECKPOINT):
        saved = checkpoint.load(trial / name)
        saved["run"]["data"] = config["run"]["data"]
        checkpoint.save(trial / name, {key: value for key, value in saved.items() if key != "format"})


def test_a_model_works_without_its_data_as_far_as_it_was_kept(trial, tmp_path):
    own_data(trial, tmp_path / "rows.npy")
    (tmp_path / "rows.npy").unlink()
    assert loading.load(trial).relevance.score.shape == (6,) and loading.load(trial).sample(2).shape == (2, 1, 8, 8)
    (trial / layout.FITTED).unlink()
    model = loading.load(trial)
    assert model.decode(np.zeros((1, 6))).shape == (1, 1, 8, 8)
    with pytest.raises(UsageError, match="nothing was kept of its training rows, which are not here either.*rows.npy"):
        _ = model.relevance


def test_a_checkpoint_of_an_earlier_version_takes_the_form_of_its_data_from_them(trial, tmp_path):
    saved = checkpoint.load(trial / layout.BEST)
    del saved["data"], saved["format"]
    checkpoint.save(trial / layout.BEST, saved)
    assert loading.load(trial).shape == (1, 8, 8)
    own_data(trial, tmp_path / "rows.npy")
    (tmp_path / "rows.npy").unlink()
    with pytest.raises(UserError, match="rows.npy"):
        loading.load(trial)


def test_a_checkpoint_without_its_run_or_of_another_is_told(trial):
    config = (trial / layout.CONFIG).read_text()
    (trial / layout.CONFIG).unlink()
    with pytest.raises(UserError, match=r"config.json: .*Train the model again"):
        loading.load(trial)
    other = json.loads(config)
    other["run"]["network"]["latent_dim"] = 5
    (trial / layout.CONFIG).write_text(json.dumps(other))
    with pytest.raises(UserError, match="the checkpoint of another run"):
        loading.load(trial)
    (trial / layout.CONFIG).write_text(config)
    (trial / layout.BEST).write_bytes((trial / layout.BEST).read_bytes()[:-50])
    with pytest.raises(UserError, match="not a whole checkpoint"):
        loading.load(trial)
