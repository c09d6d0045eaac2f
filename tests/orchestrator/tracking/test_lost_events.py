"""Events that a store refused for a while, or lost: real SQLite files that are deleted, put back, locked, moved."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.tracking import sending
from orchestrator.tracking.client import connect
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.saved_view import SavedView
from orchestrator.tracking.store_address import default_store, sqlite_file
from orchestrator.tracking.tracker import Tracker, sync
from tests.support.waiting import until

VIEW = SavedView("val/elbo", "max", [], [], [], ["samples"], 1)
DATASET = {"name": "digits", "source": "scikit-learn"}
LONG_S = 120.0


@pytest.fixture
def out(a_store, tmp_path) -> Path:
    """A folder with a default store and nothing else."""
    (tmp_path / "50% #1?").mkdir()
    shutil.copy(a_store, tmp_path / "50% #1?" / "mlflow.db")
    return tmp_path / "50% #1?"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for pause in ("PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(sending, pause, 0.05)


def begin(out, uri=None, name="first"):
    folder = out / name
    folder.mkdir(exist_ok=True)
    tracker = Tracker(uri or default_store(out), name, name, folder)
    tracker.sweep_started(f"Files: `{folder.resolve()}`", "name: first\n", {}, DATASET, VIEW)
    tracker.trial_started("0000", {"beta": 1.0}, "0000")
    return tracker


def draw(tracker, out, epoch):
    file = out / "first" / str(epoch) / "samples.png"
    file.parent.mkdir()
    Image.new("L", (8, 8), epoch).save(file)
    tracker.pictures("0000", epoch, [file])


def has(uri, name="first"):
    """The steps of the trial of the one sweep there is, its status, and the pictures' steps."""
    client = connect(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    runs = client.search_runs([experiment.experiment_id], "tags.trial_id = '0000'")
    if not runs:
        return None
    [run] = runs
    steps = sorted(point.step for point in client.get_metric_history(run.info.run_id, "val/elbo"))
    images = [file.path for file in client.list_artifacts(run.info.run_id, "images") if "pictures~" in file.path]
    return steps, run.info.status, sum(path.endswith(".png") for path in images)


def finish(tracker):
    tracker.trial_ended("0000", "completed", best={"val/elbo": 1.0})
    tracker.sweep_ended("completed")
    return tracker.close(LONG_S)


def test_a_database_that_is_deleted_amid_a_sweep_is_made_anew_with_all(out):
    uri, tracker = default_store(out), begin(out)
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    draw(tracker, out, 1)
    until(lambda: (has(uri) or [None])[0] == [1], LONG_S)
    sqlite_file(uri).unlink()  # the thread has it open
    tracker.epoch("0000", 2, {"val/elbo": 2.0})
    assert not finish(tracker)
    assert has(uri) == ([1, 2], "FINISHED", 1)


def test_a_database_that_was_deleted_or_put_back_after_a_sweep_is_sent_what_it_lacks(out, tmp_path):
    uri, tracker = default_store(out), begin(out)
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    until(lambda: (has(uri) or [None])[0] == [1], LONG_S)
    shutil.copy(out / "mlflow.db", tmp_path / "backup.db")
    tracker.epoch("0000", 2, {"val/elbo": 2.0})
    assert not finish(tracker)
    shutil.copy(tmp_path / "backup.db", out / "mlflow.db")  # into the same file
    assert not sync(out / "first")
    assert has(uri)[:2] == ([1, 2], "FINISHED")
    (out / "mlflow.db").unlink()
    assert not sync(out / "first")
    assert has(uri)[:2] == ([1, 2], "FINISHED")


def test_a_run_or_experiment_that_was_deleted_on_the_page_comes_back_with_all_when_more_is_told(out):
    uri, tracker = default_store(out), begin(out)
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    until(lambda: (has(uri) or [None])[0] == [1], LONG_S)
    client = connect(uri)
    client.delete_experiment(client.get_experiment_by_name("first").experiment_id)
    tracker.epoch("0000", 2, {"val/elbo": 2.0})
    assert not finish(tracker)
    assert has(uri)[:2] == ([1, 2], "FINISHED")
    assert client.get_experiment_by_name("first").lifecycle_stage == "active"
    client.delete_run(run_id(client))
    assert not sync(out / "first")
    assert has(uri) is None  # there was nothing more to tell
    tracker = begin(out)
    assert not finish(tracker)
    assert has(uri)[0] == [1, 2]


def run_id(client):
    found = client.search_runs([client.get_experiment_by_name("first").experiment_id], "tags.trial_id = '0000'")
    return found[0].info.run_id


def test_a_store_that_takes_no_writes_for_a_while_gets_all_then(out):
    uri, tracker = default_store(out), begin(out)
    until(lambda: has(uri), LONG_S)
    with closing(sqlite3.connect(out / "mlflow.db")) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON metrics BEGIN SELECT disk_is_full(); END")  # no function
        database.commit()
        for epoch in range(1, 5):
            tracker.epoch("0000", epoch, {"val/elbo": float(epoch)})
        draw(tracker, out, 1)
        until(lambda: has(uri)[2] == 1, LONG_S)  # pictures pass meanwhile
        left = tracker.close(0.5)
        assert (left.unsent, left.rejected) == (4, 0)
        assert "disk_is_full" in left.lines("vaeorch sync first")[0]
        assert sync(out / "first").unsent == 4
        database.execute("DROP TRIGGER full")
        database.commit()
    assert not sync(out / "first")
    assert has(uri)[::2] == ([1, 2, 3, 4], 1)


def test_a_folder_of_sweeps_that_is_moved_keeps_its_history_and_its_pictures(out):
    from mlflow.tracking._tracking_service import utils

    tracker = begin(out)
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    draw(tracker, out, 1)
    tracker.close(LONG_S)
    there = out.rename(out.with_name("moved & kept"))
    utils._artifact_repos_cache.clear()  # as in a process that starts now
    assert json.loads((there / "first" / "spool" / "identity.json").read_text())["uri"] is None
    assert recorded_store(there / "first") == default_store(there)
    tracker = begin(there, recorded_store(there / "first"))
    tracker.epoch("0000", 2, {"val/elbo": 2.0})
    draw(tracker, there, 2)
    assert not finish(tracker)
    assert has(default_store(there)) == ([1, 2], "FINISHED", 2)
    assert not out.exists()


def test_a_sweep_whose_default_store_was_recorded_by_an_earlier_version_follows_its_folder(out):
    finish(begin(out))
    file = out / "first" / "spool" / "identity.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | {"uri": f"sqlite:///{out / 'mlflow.db'}"}))
    there = out.rename(out.with_name("moved"))
    assert recorded_store(there / "first") == default_store(there)
    elsewhere = "sqlite:////srv/shared/mlflow.db"
    (there / "first" / "spool" / "identity.json").write_text(json.dumps(known | {"uri": elsewhere}))
    assert recorded_store(there / "first") == elsewhere


def test_a_store_that_was_named_stays_the_sweeps_and_the_environment_is_told_to_be_unused(
    out, tmp_path, vaeorch, monkeypatch
):
    named = f"sqlite:///{shutil.copy(out / 'mlflow.db', tmp_path / 'named.db')}"
    finish(begin(out, named))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert recorded_store(out / "first") == named
    code, said, err = vaeorch("sync", "first", "--out", out)
    assert (code, said) == (0, "Everything is sent.\n")
    assert err == f"MLFLOW_TRACKING_URI is not used: first goes to {named}. To send it elsewhere: --tracking-uri\n"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/db")
    file = out / "first" / "spool" / "identity.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"uri": "postgresql://me:***@host/db"}))
    assert recorded_store(out / "first") == os.environ["MLFLOW_TRACKING_URI"]


def test_a_sweep_made_again_under_its_name_is_not_mixed_with_the_old_one(out):
    from orchestrator.tracking.saved_view import page_state

    finish(begin(out))
    shutil.rmtree(out / "first")
    tracker = begin(out)
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    assert not finish(tracker)
    client = connect(default_store(out))
    uid = json.loads((out / "first" / "spool" / "identity.json").read_text())["uid"]
    state = page_state(VIEW, uid)
    found = client.search_runs([client.get_experiment_by_name("first").experiment_id], state["searchFilter"])
    assert [run.data.tags["vae.uid"] for run in found] == [f"{uid}-0000"]


def test_the_page_is_sorted_as_results_are(out):
    tracker = begin(out)
    for trial, values in {"0000": [1.0, 5.0, 2.0], "0001": [3.0, 4.0], "0002": [9.0, 9.5], "0003": [4.5]}.items():
        tracker.trial_started(trial, {}, trial)
        for epoch, value in enumerate(values, start=1):
            tracker.epoch(trial, epoch, {"val/elbo": value})
    tracker.trial_ended("0000", "completed", best={"val/elbo": 5.0})
    tracker.trial_ended("0001", "stopped", best={"val/elbo": 4.0})
    tracker.trial_ended("0002", "diverged", best={"val/elbo": 9.5})
    assert not tracker.close(LONG_S)
    client = connect(default_store(out))
    ids, trials = [client.get_experiment_by_name("first").experiment_id], "tags.kind = 'trial'"
    found = client.search_runs(ids, trials, order_by=["metrics.`best/val/elbo` DESC"])
    assert [run.data.tags["trial_id"] for run in found] == ["0000", "0003", "0001", "0002"]  # 0003 is still running


def test_a_damaged_identity_is_told_with_its_cure(out, vaeorch):
    finish(begin(out))
    (out / "first" / "spool" / "identity.json").write_text('{"experiment": "fi')
    for verb in ("sync", "ui"):
        code, _, err = vaeorch(verb, "first", "--out", out)
        assert (code, len(err.splitlines())) == (2, 1) and "is damaged. Remove it, then resume" in err
