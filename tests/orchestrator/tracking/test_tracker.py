"""Tracking against real SQLite stores, read back with MLflow's own client, and against servers that do not answer."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from PIL import Image

from orchestrator.tracking import saved_view
from orchestrator.tracking import tracker as tracking
from orchestrator.tracking.spool import PARENT, TrackingError
from orchestrator.tracking.tracker import provenance, sync
from orchestrator.tracking.ui import page
from tests.support import ROOT, warm
from tests.support.tracked_sweeps import VIEW, client_of, record, runs_of, start, steps_of, tracker_of, uid_of


@pytest.fixture
def refusing():
    """The address of a port at which nobody listens: bound, so that nobody else takes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def hanging():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_importing_tracking_imports_neither_mlflow_nor_torch_nor_ray():
    code = "import sys, orchestrator.tracking.tracker; print({'mlflow', 'torch', 'ray', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "set()"


def test_a_sweep_is_one_run_with_its_trials_below_it(uri, folder):
    assert not record(folder, uri)
    runs = runs_of(uri)
    parent, trial = runs[PARENT], runs["0000"]
    assert (parent.info.run_name, trial.info.run_name) == ("first", "vae 0000")
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.data.tags["kind"], trial.data.tags["kind"]) == ("sweep", "trial")
    assert parent.data.tags["sweep"] == trial.data.tags["sweep"] == "first"
    assert trial.data.tags["vae.uid"] == f"{uid_of(folder)}-0000"
    assert trial.data.params == {"method.beta": "0.5"}
    assert steps_of(uri, trial) == [1, 2, 3]
    assert trial.data.metrics == {"val/elbo": -3.0, "best/val/elbo": -1.0}
    assert parent.data.metrics == {"best/val/elbo": -1.0}
    assert (parent.info.status, trial.info.status) == ("FINISHED", "FINISHED")


def test_the_parent_run_says_what_made_the_numbers(uri, folder):
    record(folder, uri)
    parent = runs_of(uri)[PARENT]
    tags = parent.data.tags
    assert tags["mlflow.note.content"] == "# A sweep\nof *digits*"
    assert tags["mlflow.source.name"] == "search_spaces/spec.yaml"
    assert tags["mlflow.user"] and tags["objective"] == "val/elbo"
    assert tags["version.mlflow"] == "3.17.2" and tags["version.python"] == sys.version.split()[0]
    assert {"version.torch", "version.ray", "version.vaeorch"} <= tags.keys()
    [seen] = parent.inputs.dataset_inputs
    assert seen.dataset.name == "digits" and json.loads(seen.dataset.source) == {"source": "scikit-learn"}
    assert json.loads(seen.dataset.profile) == {"shape": [1, 8, 8], "train_rows": 1297, "val_rows": 250}
    artifacts = Path(url2pathname(urlsplit(parent.info.artifact_uri).path))
    assert (artifacts / "config" / "resolved.yaml").read_text() == "name: spec\n"
    assert artifacts.is_relative_to(folder.parent / "mlartifacts")


def test_the_commit_is_a_tag_in_a_repository_and_absent_outside(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "__file__", str(tmp_path / "tracking.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "mlflow.source.git.commit" not in provenance("spec.yaml")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    commit = subprocess.check_output(["git", "-C", tmp_path, "rev-parse", "HEAD"], text=True).strip()
    tags = provenance("spec.yaml")
    assert (tags["mlflow.source.git.commit"], tags["git.modified"]) == (commit, "no")
    (tmp_path / "new.py").write_text("")
    assert provenance("spec.yaml")["git.modified"] == "yes"


@pytest.mark.parametrize(
    ("sweep_status", "left_running", "expected"),
    [("completed", "FINISHED", "FINISHED"), ("failed", "FAILED", "FAILED"), ("aborted", "KILLED", "KILLED")],
)
def test_runs_end_as_what_they_were(uri, folder, sweep_status, left_running, expected):
    ends = [
        ("completed", None, "FINISHED"),
        ("stopped", "asha@9", "FINISHED"),
        ("diverged", "diverged@120:kl", "FINISHED"),
        ("failed", "CUDA out of memory", "FAILED"),
        ("aborted", "Ctrl-C", "KILLED"),
    ]
    tracker = tracker_of(folder, uri)
    for status, reason, _ in ends:
        tracker.trial_started(status, {}, status)
        tracker.trial_ended(status, status, reason)
        tracker.trial_ended(status, "completed", "told twice")
    tracker.trial_started("open", {}, "open")
    tracker.sweep_ended(sweep_status)
    assert not tracker.close()
    runs = runs_of(uri)
    for status, reason, run_status in ends:
        tags = runs[status].data.tags
        assert (runs[status].info.status, tags["status"], tags["stop_reason"]) == (run_status, status, reason or "")
    assert (runs["open"].info.status, runs[PARENT].info.status) == (left_running, expected)
    assert runs["open"].data.tags["stop_reason"] == f"sweep {sweep_status}"


def test_an_unknown_status_is_refused_at_once(refusing, folder):
    tracker = tracker_of(folder, refusing)
    with pytest.raises(ValueError, match="status 'done' is none of completed, stopped"):
        tracker.sweep_ended("done")
    tracker.close()


def test_a_trial_that_is_tried_again_goes_on_in_its_run(uri, folder):
    tracker = tracker_of(folder, uri)
    tracker.trial_started("0000", {"method.beta": 0.5}, "vae")
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    tracker.trial_ended("0000", "failed", "worker died")
    tracker.trial_started("0000", {"method.beta": 0.5}, "vae")
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    assert not tracker.close()
    run = runs_of(uri)["0000"]
    assert (run.info.status, run.data.tags["status"]) == ("RUNNING", "running")

    tracker = tracker_of(folder, uri)
    tracker.trial_ended("0000", "completed")
    assert not tracker.close()
    run = runs_of(uri)["0000"]
    assert (run.info.status, run.data.tags["stop_reason"], steps_of(uri, run)) == ("FINISHED", "", [1])


def test_pictures_make_sliders_over_epochs_and_the_latest_are_kept_apart(uri, folder):
    tracker = tracker_of(folder, uri)
    for epoch in (9, 27, 27):
        drawn = folder / f"epoch{epoch}"
        drawn.mkdir(exist_ok=True)
        Image.new("L", (40, 40), epoch).save(drawn / "samples.png")
        tracker.pictures("0000", epoch, [drawn / "samples.png"])
        time.sleep(0.005)  # the latest is told by its time in milliseconds, and an epoch takes longer
    assert not tracker.close()
    run = runs_of(uri)["0000"]
    assert run.data.tags["mlflow.loggedImages"] == "True"
    files = [Path(file.path) for file in client_of(uri).list_artifacts(run.info.run_id, "images")]
    pngs = {file.name.split("+timestamp+")[0]: file for file in sorted(files) if file.suffix == ".png"}
    assert sorted(pngs) == ["latest~samples+step+0", "pictures~samples+step+27", "pictures~samples+step+9"]
    assert len(files) == 8  # each has a small copy, and two pictures were the latest
    for name in ("pictures~samples+step+27", "latest~samples+step+0"):  # of one step the page shows the last by name
        png = client_of(uri).download_artifacts(run.info.run_id, str(pngs[name]))
        assert Image.open(png).getpixel((0, 0)) == 27


def test_what_the_store_never_takes_is_set_aside_told_and_tried_again(uri, folder):
    tracker = tracker_of(folder, uri)
    (folder / "torn.png").write_bytes(b"no picture")
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    tracker.epoch("0000", 2, {"val/elbo?": 2.0})  # no name for MLflow
    tracker.pictures("0000", 2, [folder / "gone.png", folder / "torn.png"])
    tracker.epoch("0000", 3, {"val/elbo": 3.0})
    tracker.trial_ended("0000", "completed")
    left = tracker.close()
    assert (left.unsent, left.rejected) == (0, 3)
    run = runs_of(uri)["0000"]
    assert (steps_of(uri, run), run.info.status) == ([1, 3], "FINISHED")
    letters = [json.loads(line) for line in left.file.read_text().splitlines()]
    reasons = {json.loads(letter["event"])["kind"]: letter["reason"] for letter in letters}
    assert "val/elbo?" in reasons["epoch"] and set(reasons) == {"epoch", "picture"}
    assert "No such file" in " ".join(letter["reason"] for letter in letters)
    [line] = left.lines("vaeorch sync first")
    assert line.startswith("rejected     3 events") and str(left.file) in line and "vaeorch sync first" in line

    Image.new("L", (4, 4)).save(folder / "gone.png")
    assert sync(folder, uri).rejected == 2
    images = [file.path for file in client_of(uri).list_artifacts(run.info.run_id, "images")]
    assert any("pictures~gone" in path for path in images)
    assert runs_of(uri)["0000"].info.status == "FINISHED"


def test_more_than_one_request_holds(uri, folder):
    params = {f"p{number}": number for number in range(250)}
    metrics = {f"m{number}": float(number) for number in range(1700)}
    tracker = tracker_of(folder, uri)
    tracker.trial_started("0000", params, "many")
    tracker.epoch("0000", 1, metrics)
    assert not tracker.close()
    run = runs_of(uri)["0000"].data
    assert run.params == {key: str(value) for key, value in params.items()} and run.metrics == metrics


def test_the_parent_is_made_first_whoever_speaks_first(uri, folder):
    tracker = tracker_of(folder, uri)
    tracker.epoch("0000", 1, {"val/elbo": 1.0})
    assert not tracker.close()
    runs = runs_of(uri)
    assert runs[PARENT].info.run_name == "first"
    assert runs["0000"].data.tags["mlflow.parentRunId"] == runs[PARENT].info.run_id


def test_numbers_that_are_not_finite_are_kept(uri, folder):
    tracker = tracker_of(folder, uri)
    tracker.epoch("0000", 1, {"val/elbo": float("nan"), "val/kl": float("inf")})
    assert not tracker.close()
    metrics = runs_of(uri)["0000"].data.metrics
    assert metrics["val/elbo"] != metrics["val/elbo"] and metrics["val/kl"] > 1e300


def test_a_deleted_experiment_comes_back(uri, folder):
    client = client_of(uri)
    client.delete_experiment(client.create_experiment("spec", str(folder.parent / "mlartifacts")))
    assert not record(folder, uri)
    assert steps_of(uri, runs_of(uri)["0000"]) == [1, 2, 3]


def test_a_server_that_refuses_costs_the_sweep_nothing_and_sync_sends_all_once(refusing, uri, folder):
    tracker = tracker_of(folder, refusing)
    start(tracker, folder)
    begun = time.thread_time()
    for epoch in range(1, 301):
        tracker.epoch("0000", epoch, {f"val/m{number}": float(number) for number in range(22)})
    assert (time.thread_time() - begun) / 300 < 0.002
    assert tracker.close().unsent == 304
    for _ in range(2):
        assert not sync(folder, uri)
        assert steps_of(uri, runs_of(uri)["0000"], "val/m3") == list(range(1, 301))


def test_findings_are_told_with_what_they_rest_on_and_again_once_any_of_them_is_new(refusing, folder):
    tracker = tracker_of(folder, refusing)
    first, second = {"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0}
    for values in (first, first, second):
        tracker.evaluated("0000", "key", 3, values, "these rows")
    events = [line.event for line in tracker._spool.lines("0000")]
    tracker.close(0)
    assert [event["metrics"] for event in events] == [
        {f"eval/{name}": value for name, value in values.items()} for values in (first, second)
    ]
    assert all(event["tags"] == {"eval/a": "these rows", "eval/b": "these rows"} for event in events)


def test_sync_refuses_an_address_that_can_be_none_and_sends_nothing(refusing, folder):
    tracker_of(folder, refusing).close(0)
    with pytest.raises(TrackingError, match="tracking address 'ftp://nowhere': begin it with"):
        sync(folder, "ftp://nowhere")
    assert tracking.recorded_store(folder) == refusing


def test_a_server_that_hangs_is_left_after_the_patience_asked_for(hanging, uri, folder):
    tracker = tracker_of(folder, hanging)
    start(tracker, folder)
    tracker.trial_ended("0000", "completed")
    assert tracker.close(patience_s=0.5).unsent == 5
    assert not sync(folder, uri)
    assert runs_of(uri)["0000"].info.status == "FINISHED"


SWEEP_TO_KILL = """
import sys, time
from pathlib import Path
from orchestrator.tracking.tracker import Tracker
tracker = Tracker(sys.argv[1], "spec", "first", Path(sys.argv[2]))
tracker.trial_started("0000", {"method.beta": 0.5}, "vae 0000")
for epoch in range(1, 1_000_000):
    tracker.epoch("0000", epoch, {"val/elbo": float(epoch)})
    print(epoch, flush=True)
    time.sleep(0.01)
"""


def test_a_sweep_killed_and_resumed_uses_its_runs_and_logs_each_epoch_once(uri, folder):
    command = [sys.executable, "-c", SWEEP_TO_KILL, uri, str(folder)]
    with warm.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            sent = (folder / "spool").glob("sent-*")
            if int(line) % 50 == 0 and any('"0000"' in file.read_text() for file in sent):
                break
        os.kill(process.pid, signal.SIGKILL)
        reached = max([int(line), *map(int, process.stdout.read().split())])
    with open(folder / "spool" / "0000.jsonl", "a") as file:
        file.write('{"kind":"epoch","ti')  # a line that the kill cut off
    before = runs_of(uri)
    assert before["0000"].info.status == "RUNNING"

    tracker = tracker_of(folder, uri)
    tracker.trial_started("0000", {"method.beta": 0.5}, "vae 0000")
    for epoch in range(reached - 20, reached + 10):  # trained again from a checkpoint
        tracker.epoch("0000", epoch, {"val/elbo": float(epoch)})
    tracker.trial_ended("0000", "completed")
    tracker.sweep_ended("completed")
    assert not tracker.close()
    after = runs_of(uri)
    assert {uid: run.info.run_id for uid, run in before.items()} == {uid: run.info.run_id for uid, run in after.items()}
    assert steps_of(uri, after["0000"]) == list(range(1, reached + 10))
    assert after["0000"].info.status == after[PARENT].info.status == "FINISHED"


def test_events_sent_again_after_a_lost_acknowledgement_change_nothing(uri, folder):
    record(folder, uri)
    [acknowledged] = (folder / "spool").glob("sent-*.json")
    acknowledged.unlink()
    assert not sync(folder)
    run = runs_of(uri)["0000"]
    assert (steps_of(uri, run), run.info.status) == ([1, 2, 3], "FINISHED")


def test_a_folder_has_one_process_that_records_or_sends(refusing, uri, folder):
    tracker = tracker_of(folder, refusing)
    with pytest.raises(TrackingError, match="another process"):
        sync(folder, uri)
    tracker.close()
    assert not sync(folder, uri)


def test_sync_remembers_the_store_but_not_its_password(refusing, uri, folder, tmp_path):
    with pytest.raises(TrackingError, match="no sweep was recorded here"):
        sync(tmp_path / "nothing")
    secret = refusing.replace("//", "//me:secret@")
    assert record(folder, secret).unsent
    assert not any("secret" in file.read_text() for file in (folder / "spool").iterdir())
    with pytest.raises(TrackingError, match="password is not kept"):
        sync(folder)
    assert not sync(folder, uri)


def test_the_link_opens_the_saved_view_of_the_experiment(uri, folder):
    tracker = tracker_of(folder, uri)
    start(tracker, folder)
    tracker.trial_started("0000", {"method.beta": 0.5}, "vae 0000")
    assert not tracker.close()
    experiment = client_of(uri).get_experiment_by_name("spec")
    [(name, value)] = [item for item in experiment.tags.items() if item[0].startswith("mlflow.sharedViewState.")]
    packed = json.loads(value)["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert state == saved_view.page_state(VIEW, uid_of(folder))
    [shown] = client_of(uri).search_runs([experiment.experiment_id], state["searchFilter"])
    assert shown.data.tags["trial_id"] == "0000"
    key = name.removeprefix("mlflow.sharedViewState.")
    address = f"http://127.0.0.1:5000/#/experiments/{experiment.experiment_id}/runs?viewStateShareKey={key}"
    assert (
        page(folder, uri, "http://127.0.0.1:5000/") == f"{address}&workflowType=machine_learning&compareRunsMode=CHART"
    )


def test_a_page_of_another_version_gets_no_view_but_a_plain_link(uri, folder, monkeypatch):
    monkeypatch.setattr(saved_view, "KNOWN", ("9.",))
    tracker = tracker_of(folder, uri)
    start(tracker, folder)
    assert not tracker.close()
    experiment = client_of(uri).get_experiment_by_name("spec")
    assert not any(tag.startswith("mlflow.sharedViewState.") for tag in experiment.tags)
    assert page(folder, uri, "http://x").endswith(
        f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    )
