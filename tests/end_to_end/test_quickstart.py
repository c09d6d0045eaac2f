"""The main job: the quickstart command as a user runs it, on real Ray, and all that it leaves behind."""

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.waiting import until

MARK = f"quickstart-{uuid.uuid4()}"


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart")
    spec = ROOT / "search_spaces" / "quickstart.yaml"
    command = [sys.executable, "-m", "orchestrator", "sweep", str(spec), "--out", str(out)]
    environment = os.environ | {"COLUMNS": "100", "VAEORCH_MARK": MARK}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return out, said


@pytest.fixture(scope="module")
def results(quickstart):
    return json.loads((quickstart[0] / "quickstart" / "results.json").read_text())


@pytest.fixture(scope="module")
def store(quickstart):
    """An MLflow client on the sweep's own store, the parent run, and the trials' runs by trial id."""
    from orchestrator.tracking.client import connect, set_environment

    set_environment()
    client = connect(f"sqlite:///{quickstart[0] / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("quickstart").experiment_id])
    [parent] = [run for run in runs if run.data.tags["kind"] == "sweep"]
    return client, parent, {run.data.tags["trial_id"]: run for run in runs if run.data.tags["kind"] == "trial"}


def jsonl(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_says_nothing_but_its_own_words(quickstart):
    _, said = quickstart
    assert said.stderr == ""
    for word in ("ray", "Tune", "mlflow.", "Traceback", "Warning", "INFO"):
        assert word not in said.stdout


def test_it_ends_with_leaderboard_checkpoint_pictures_and_the_way_to_mlflow(quickstart, results):
    out, said = quickstart
    assert "quickstart: 16 trials by val/elbo" in said.stdout
    best = max((t for t in results["trials"] if t["best"]), key=lambda trial: trial["best"]["val/elbo"])
    assert f"checkpoint   {out}/quickstart/trials/{best['id']}/best.pt" in said.stdout
    assert f"vaeorch ui quickstart --out {out}" in said.stdout


def test_every_trial_ends_and_asha_stops_most(results):
    assert [trial["id"] for trial in results["trials"]] == [f"{number:04d}" for number in range(1, 17)]
    assert {trial["status"] for trial in results["trials"]} == {"completed", "stopped"}
    epochs = [trial["epochs"] for trial in results["trials"]]
    assert set(epochs) <= {3, 9, 27}
    assert sum(epoch >= 9 for epoch in epochs) >= 16 // 3
    assert 1 <= epochs.count(27) <= 4
    for trial in results["trials"]:
        assert trial["reason"] == (None if trial["status"] == "completed" else f"asha@{trial['epochs']}")


def test_the_sweep_spans_the_methods_and_their_sub_spaces(results):
    configs = [trial["config"] for trial in results["trials"]]
    assert {config["method.name"] for config in configs} == {"ard_vae", "beta_vae", "intel_vae"}
    for config in configs:
        assert ("method.mapping.name" in config) == (config["method.name"] == "intel_vae")
        assert ("method.mapping.gamma" in config) == (config.get("method.mapping.name") == "sparse")
        assert 0.05 <= config["method.beta"] <= 5


def test_every_trial_keeps_metrics_and_checkpoint(quickstart, results):
    for trial in results["trials"]:
        folder = quickstart[0] / "quickstart" / "trials" / trial["id"]
        lines = jsonl(folder)
        assert [line["epoch"] for line in lines] == list(range(1, trial["epochs"] + 1))
        assert {key: lines[-1][key] for key in trial["last"]} == trial["last"]
        assert Path(trial["checkpoint"]).is_file()


def test_the_five_best_have_pictures_of_their_best_epoch_and_no_other_has_any(quickstart, results):
    best = sorted(results["trials"], key=lambda trial: -trial["best"]["val/elbo"])[:5]
    drawn = quickstart[0].glob("quickstart/trials/*/pictures/*/reconstructions.png")
    assert {(path.parts[-4], int(path.parts[-2])) for path in drawn} == {(t["id"], t["best"]["epoch"]) for t in best}


def test_the_best_trial_learns_something(results):
    """Better than a model that ignores its input: that has an ELBO near -27.3 nats on these images."""
    assert max(trial["best"]["val/elbo"] for trial in results["trials"]) > -26


def test_mlflow_has_each_metric_of_each_epoch_once(quickstart, results, store):
    client, _, runs = store
    assert sorted(runs) == [trial["id"] for trial in results["trials"]]
    for trial, run in runs.items():
        lines = jsonl(quickstart[0] / "quickstart" / "trials" / trial)
        for name in ("train/loss", "val/elbo", "val/active"):
            history = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
            assert history == [(line["epoch"], line[name]) for line in lines]


def test_mlflow_runs_are_nested_and_say_why_they_stopped(results, store):
    _, parent, runs = store
    assert parent.info.status == "FINISHED"
    for trial in results["trials"]:
        run = runs[trial["id"]]
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["stop_reason"] == (trial["reason"] or "")
        assert run.data.params == {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in trial["config"].items()
        }


def test_mlflow_has_the_spec_the_data_set_the_versions_and_the_view(store):
    client, parent, _ = store
    spec = client.download_artifacts(parent.info.run_id, "config/resolved.yaml")
    assert "kl_warmup_epochs" in Path(spec).read_text()
    assert [entry.dataset.name for entry in parent.inputs.dataset_inputs] == ["digits"]
    assert {"version.torch", "version.ray", "mlflow.note.content", "mlflow.source.name"} <= set(parent.data.tags)
    experiment = client.get_experiment(parent.info.experiment_id)
    assert any(tag.startswith("mlflow.sharedViewState.") for tag in experiment.tags)


def test_mlflow_has_pictures_with_steps(results, store):
    client, _, runs = store
    best = max(results["trials"], key=lambda trial: trial["best"]["val/elbo"])
    names = [file.path for file in client.list_artifacts(runs[best["id"]].info.run_id, "images")]
    assert any(re.search(rf"samples\Wstep\W{best['best']['epoch']}\W.*png", name) for name in names)


def marked():
    """Every process of the sweep inherited the mark in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes())
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def test_no_process_is_left(quickstart):
    until(lambda: marked() == [])  # on a machine with much to do a slot outlives its driver by a moment
