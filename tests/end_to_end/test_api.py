"""`import vaeorch` from threads, from other folders and with `~` in a path."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import vaeorch

RUN = {
    "method": {"name": "vae"},
    "network": {"name": "mlp", "hidden": [8], "latent_dim": 2},
    "data": {"name": "circle", "train_rows": 200, "val_rows": 100},
    "epochs": 1,
}


def in_a_thread(work):
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_a_sweep_runs_in_a_thread_and_its_epochs_may_be_searched(tmp_path):
    spec = {"name": "threaded", "run": RUN, "search": {"epochs": {"grid": [1, 3]}}, "scheduler": {"name": "none"}}
    (tmp_path / "threaded").mkdir()  # which is no sweep
    frame = in_a_thread(lambda: vaeorch.sweep(spec, out="~/sweeps"))
    assert {tuple(row) for row in frame[["epochs", "run.epochs"]].to_numpy().tolist()} == {(1, 1), (3, 3)}
    assert frame.equals(vaeorch.results("threaded", out="~/sweeps"))
    assert frame.equals(vaeorch.results(tmp_path / "sweeps" / "threaded"))


def test_a_run_is_trained_in_a_thread_below_the_home_folder(tmp_path):
    model = in_a_thread(lambda: vaeorch.train({"name": "alone", "run": RUN}, out="~/runs"))
    assert (tmp_path / "runs" / "alone" / "best.pt").is_file() and model.origin.epoch == 1
    assert list(vaeorch.results("alone", out="~/runs").epochs) == [1]
