"""Addresses of MLflow stores, the making of an SQLite store, and the saved view's columns and charts."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from orchestrator.tracking.client import check_known_store, connect, prepare_store
from orchestrator.tracking.saved_view import SECTIONS, SavedView, known, link, page_state
from orchestrator.tracking.spool import TrackingError
from orchestrator.tracking.start import axes_of
from orchestrator.tracking.store_address import check_store
from orchestrator.tracking.tracker import Tracker
from tests.support import ROOT
from tests.support.waiting import until

MAKE_STORE = """
import os, sys
from orchestrator.tracking.client import prepare_store
prepare_store(sys.argv[1])
assert "MLFLOW_RUN_ID" not in os.environ
"""


@pytest.fixture(scope="module")
def made_together(tmp_path_factory):
    """The file of a store that two processes made at the same time, what they printed, and how they ended."""
    file = tmp_path_factory.mktemp("out") / "runs" / "mlflow.db"
    command = [sys.executable, "-c", MAKE_STORE, f"sqlite:///{file}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_RUN_ID", "of another run")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]
    return file, [process.communicate()[0] for process in processes], [process.returncode for process in processes]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("mlruns", "begin it with http://"),
        ("file:///tmp/mlruns", "begin it with http://"),
        ("ftp://me:secret@host/x", "begin it with http://"),
        ("http://", "names no server"),
        ("http://host:port", "names no server"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot be written"),
        ("postgresql://me:secret@host/db", "No module named 'psycopg'"),
    ],
)
def test_a_bad_address_is_one_clear_line_before_anything_starts(bad, told, tmp_path):
    with pytest.raises(TrackingError) as error:
        Tracker(bad, "spec", "first", tmp_path / "first")
    assert told in str(error.value) and "\n" not in str(error.value) and "secret" not in str(error.value)
    assert not (tmp_path / "first").exists()


@pytest.mark.parametrize("good", ["http://127.0.0.1:5000", "https://me:secret@mlflow.example.org/under"])
def test_a_server_is_not_asked_when_its_address_is_checked(good):
    check_store(good)


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    with pytest.raises(TrackingError, match="file is not a database"):
        check_store(f"sqlite:///{tmp_path}/notes.txt")
    with pytest.raises(TrackingError, match="cannot be written"):
        check_store(f"sqlite:///{tmp_path}/notes.txt/mlflow.db")


def test_a_store_that_processes_make_together_is_whole_and_nothing_is_printed(made_together):
    file, printed, codes = made_together
    assert (printed, codes) == (["", ""], [0, 0])
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert database.execute("SELECT name FROM experiments").fetchall() == [("Default",)]


@pytest.mark.parametrize("check", [prepare_store, check_known_store])
def test_a_store_of_another_version_is_told(made_together, tmp_path, check):
    file = tmp_path / "mlflow.db"
    file.write_bytes(made_together[0].read_bytes())
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'old'")
        database.commit()
    with pytest.raises(TrackingError, match="out-of-date database schema"):
        check(f"sqlite:///{file}")


def test_a_store_that_is_not_there_yet_is_left_to_whoever_sends_first(tmp_path):
    check_known_store(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert (tmp_path / "mlflow.db").stat().st_size == 0
    with pytest.raises(TrackingError, match="cannot be"):
        check_known_store(f"sqlite:///{tmp_path / 'mlflow.db' / 'beneath.db'}")


def view(**changes):
    words = {"objective": "val/elbo", "mode": "max", "params": ["method.beta", "method.mapping.gamma"]}
    charts = {"axes": ["method.beta"], "curves": ["val/kl"], "pictures": ["samples"], "first_epoch": 3}
    return SavedView(**words | charts | changes)


@pytest.mark.parametrize(("mode", "ascending"), [("max", False), ("min", True)])
def test_the_table_of_the_view_is_a_leaderboard(mode, ascending):
    state = page_state(view(mode=mode), "first")
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`best/val/elbo`", ascending)
    assert state["selectedColumns"] == [
        "metrics.`best/val/elbo`",
        "metrics.`val/elbo`",
        "tags.`status`",
        "tags.`stop_reason`",
        "params.`method.beta`",
        "params.`method.mapping.gamma`",
        "metrics.`val/kl`",
    ]
    assert state["columnOrder"][-7:] == state["selectedColumns"]
    assert state["columnWidths"]["params.`method.mapping.gamma`"] > 8 * len("method.mapping.gamma")


def test_the_charts_of_the_view_are_parallel_coordinates_curves_and_pictures():
    state = page_state(view(), "first")
    charts = [chart for key in SECTIONS for chart in state["compareRunCharts"] if chart["metricSectionId"] == key]
    parallel, *curves, latest, by_epoch = charts
    assert (parallel["type"], parallel["selectedMetrics"]) == ("PARALLEL", ["val/elbo"])
    assert parallel["selectedParams"] == ["method.beta"]
    assert [(chart["type"], chart["metricKey"]) for chart in curves] == [("LINE", "val/elbo"), ("LINE", "val/kl")]
    assert (latest["type"], latest["imageKeys"], latest["step"]) == ("IMAGE", ["latest/samples"], 0)
    assert (by_epoch["type"], by_epoch["imageKeys"], by_epoch["step"]) == ("IMAGE", ["pictures/samples"], 3)
    assert [section["uuid"] for section in state["compareRunSections"]] == list(SECTIONS)


def test_runs_that_share_a_parameter_are_shown_as_one():
    assert page_state(view(), "first")["groupBy"] is None
    groups = page_state(view(grouped_by="configuration"), "first")["groupBy"]
    assert groups["groupByKeys"] == [{"mode": "param", "groupByData": "configuration"}]


def test_the_view_has_no_empty_section():
    state = page_state(view(axes=[], pictures=[]), "first")
    assert [section["name"] for section in state["compareRunSections"]] == ["Curves"]
    assert {chart["type"] for chart in state["compareRunCharts"]} == {"LINE"}


def test_parallel_coordinates_are_what_varies_and_places_every_trial():
    shared = {"seed": 0, "network.hidden": [8]}  # the same in both
    configs = [
        {**shared, "method.name": "vae", "method.beta": 1, "method.dz_size": None},
        {**shared, "method.name": "intel_vae", "method.mapping.gamma": 0.1, "method.beta": 0.5, "method.dz_size": 4},
    ]
    assert axes_of(configs) == ["method.name", "method.beta"]
    assert axes_of(configs[:1]) == []


def test_the_view_is_for_the_page_that_it_was_read_from():
    assert known("3.17.2") and not known("3.18.0") and not known("<html>404</html>")
    assert link("http://host/", "7", None) == "http://host/#/experiments/7/runs?workflowType=machine_learning"


def test_a_store_whose_making_was_killed_is_made_by_the_next_process(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = f"from orchestrator.tracking.client import prepare_store; prepare_store({uri!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as maker:
        until(lambda: (tmp_path / ".mlflow.db.new").is_file() and (tmp_path / ".mlflow.db.new").stat().st_size)
        maker.kill()
    assert (tmp_path / "mlflow.db").stat().st_size == 0  # as looking whether it can be written left it
    prepare_store(uri)
    assert connect(uri).search_experiments()[0].name == "Default"


@pytest.mark.parametrize("check", [prepare_store, check_known_store])
def test_a_store_whose_folder_takes_no_lock_is_one_line(check, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"x")
    (tmp_path / ".mlflow.db.lock").mkdir()
    with pytest.raises(TrackingError, match=r"mlflow\.db: .*/\.mlflow\.db\.lock: Is a directory\."):
        check(f"sqlite:///{tmp_path}/mlflow.db")
