"""Sweeps that are copied alone, beside themselves, or moved away from their store: MLflow shows each with its files."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.storage import layout
from orchestrator.tracking.client import connect
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.store_address import default_store, same_store, sqlite_address
from orchestrator.tracking.tracker import Tracker, sync
from orchestrator.tracking.ui import page
from tests.support.managed import in_store, parent_of, recorded

BOTH = ["sweep", "trial"]


@pytest.fixture(scope="module")
def made(tmp_path_factory, a_store):
    """A folder with a sweep and its store: the tests work on copies of it."""
    out = tmp_path_factory.mktemp("made") / "runs"
    recorded(out, "a", a_store)
    return out


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "runs")


def pictures_of(uri, name):
    """The trial in the experiment `name`, and its images where MLflow says that they are."""
    client = connect(uri)
    [trial] = client.search_runs([client.get_experiment_by_name(name).experiment_id], "tags.kind = 'trial'")
    return trial, list(map(str, Path(urlsplit(trial.info.artifact_uri).path, "images").glob("*.png")))


def test_a_sweep_that_is_copied_alone_is_sent_whole_to_the_store_of_its_new_folder(out, a_store, tmp_path):
    there = tmp_path / "there"
    shutil.copytree(out / "a", there / "a")
    shutil.copy(a_store, there / layout.STORE)
    shutil.rmtree(out)
    assert not sync(there / "a")
    trial, pictures = pictures_of(default_store(there), "a")
    assert in_store(there) == {"a": BOTH} and trial.data.metrics["val/elbo"] == 1.0
    assert len(pictures) == 2 and all(str(there) in picture for picture in pictures)
    assert "viewStateShareKey" in page(there / "a", recorded_store(there / "a"), "http://x")
    assert not out.exists()


def test_a_copy_beside_its_sweep_is_a_sweep_of_its_own(out):
    shutil.copytree(out / "a", out / "twin")
    assert not sync(out / "twin")
    assert in_store(out) == {"a": BOTH, "twin": BOTH}
    assert parent_of(out, "twin").info.run_name == "twin"
    uids = [json.loads(layout.identity_file(out / name).read_text())["uid"] for name in ("a", "twin")]
    assert uids[0] != uids[1]
    assert not sync(out / "twin") and not sync(out / "a")  # and stays so
    assert in_store(out) == {"a": BOTH, "twin": BOTH}


def test_removing_a_copy_leaves_its_sweep_alone(out, vaeorch):
    shutil.copytree(out / "a", out / "twin")
    assert vaeorch("remove", "twin", "--out", out, "--yes")[0] == 0
    assert in_store(out) == {"a": BOTH} and pictures_of(default_store(out), "a")[1]


def test_a_folder_that_was_renamed_by_hand_goes_on_in_its_runs(out):
    (out / "a").rename(out / "b")
    assert not sync(out / "b")
    assert in_store(out) == {"a": BOTH}


def test_a_copy_of_all_has_its_own_pictures_and_leaves_those_of_the_first_alone(out, tmp_path):
    there = shutil.copytree(out, tmp_path / "copied")
    for folder in (there, out):
        assert not sync(folder / "a")
        pictures = pictures_of(default_store(folder), "a")[1]
        assert len(pictures) == 2 and all(str(folder) in picture for picture in pictures)


def test_pictures_are_found_also_where_the_store_stays_and_its_sweeps_are_moved(out, a_store, tmp_path):
    named = sqlite_address(tmp_path / "named.db")
    shutil.copy(a_store, tmp_path / "named.db")
    assert not sync(out / "a", named)
    there = out.rename(tmp_path / "moved")
    assert not sync(there / "a")
    trial, pictures = pictures_of(named, "a")
    assert len(pictures) == 2 and str(there) in trial.info.artifact_uri
    with closing(sqlite3.connect(tmp_path / "named.db")) as database:
        assert (
            str(there) in database.execute("SELECT artifact_location FROM experiments WHERE name = 'a'").fetchone()[0]
        )


def test_the_runs_of_trials_say_where_their_files_are_and_follow_them(out, tmp_path):
    home = out / "a" / layout.TRIALS / "0001"
    (home / layout.BEST).touch()
    assert not sync(out / "a")
    tags = pictures_of(default_store(out), "a")[0].data.tags
    assert (tags["folder"], tags["checkpoint"], tags["dataset"]) == (str(home), str(home / layout.BEST), "digits")
    assert parent_of(out, "a").data.tags["folder"] == str(out / "a")
    there = out.rename(tmp_path / "moved")
    assert not sync(there / "a")
    tags = pictures_of(default_store(there), "a")[0].data.tags
    assert tags["folder"] == str(there / "a" / layout.TRIALS / "0001")


def test_a_trial_says_where_its_files_are_when_it_ends(out):
    tracker = Tracker(default_store(out), "a", "a", out / "a")
    tracker.trial_started("0002", {}, "0002")
    home = out / "a" / layout.TRIALS / "0002"
    (home / layout.BEST).touch()
    tracker.trial_ended("0002", "completed")
    assert not tracker.close(60.0)
    client = connect(default_store(out))
    experiment = client.get_experiment_by_name("a").experiment_id
    [trial] = client.search_runs([experiment], "tags.trial_id = '0002'")
    assert (trial.data.tags["checkpoint"], trial.data.tags["dataset"]) == (str(home / layout.BEST), "digits")


def test_a_sweep_that_is_sent_to_an_address_with_a_quoted_character_makes_no_folder_of_that_name(
    out, a_store, tmp_path, vaeorch
):
    place = tmp_path / "other dir"
    place.mkdir()
    shutil.copy(a_store, place / "x.db")
    address = f"sqlite:///{tmp_path}/other%20dir/x.db"
    for given in (["--tracking-uri", address], []):  # then that which was recorded
        assert vaeorch("sync", "a", "--out", out, *given)[0] == 0
        assert same_store(recorded_store(out / "a"), address)
    assert connect(recorded_store(out / "a")).get_experiment_by_name("a")
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "other dir"}
