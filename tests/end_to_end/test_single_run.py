"""A run that is trained alone: shown by `results`, told to MLflow as one run, each epoch of it once."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.tracking.client import connect
from orchestrator.tracking.store_address import default_store
from tests.support import ROOT, warm
from tests.support.waiting import until


@pytest.fixture
def out(a_store, tmp_path) -> Path:
    (tmp_path / "runs").mkdir()
    shutil.copy(a_store, tmp_path / "runs" / "mlflow.db")
    return tmp_path / "runs"


def the_run(out):
    client = connect(default_store(out))
    [run] = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    return run, [point.step for point in client.get_metric_history(run.info.run_id, "val/elbo")]


def test_a_run_is_in_results_and_in_mlflow(vaeorch, spec, out):
    store = default_store(out)
    code, said, _ = vaeorch("train", spec, "--out", out, "--tracking-uri", store, "--set", "run.epochs=3")
    assert code == 0 and f"compare      vaeorch ui tiny --out {out}" in said
    assert (out / "tiny" / "curves.png").read_bytes().startswith(b"\x89PNG") and "\ncurves       " in said
    assert not (out / "tiny" / "parallel.png").exists()
    code, said, _ = vaeorch("results", "tiny", "--out", out, "--format", "json")
    [entry] = json.loads(said)["trials"]
    assert (code, entry["id"], entry["status"], entry["epochs"]) == (0, "tiny", "completed", 3)
    assert entry["checkpoint"] == str(out / "tiny" / "best.pt")
    assert vaeorch("sync", "tiny", "--out", out)[:2] == (0, "Everything is sent.\n")
    run, steps = the_run(out)
    assert (steps, run.info.status, run.data.tags["kind"], run.info.run_name) == ([1, 2, 3], "FINISHED", "run", "tiny")
    assert run.data.metrics["best/val/elbo"] == entry["best"]["val/elbo"]
    tags = {name: run.data.tags[name] for name in ("folder", "checkpoint", "dataset")}
    assert tags == {"folder": str(out / "tiny"), "checkpoint": entry["checkpoint"], "dataset": "digits"}
    assert run.data.tags["mlflow.loggedImages"] == "True"
    page = out / "tiny.html"
    assert vaeorch("report", "tiny", "--out", out, "--format", "html", "-o", page)[0] == 0
    assert "val/elbo" in page.read_text()
    assert vaeorch("evaluate", "tiny", "--metrics", "mse", "--out", out)[0] == 0
    code, said, _ = vaeorch("compare", "tiny", "tiny", "--out", out)
    assert code == 0 and "mse" in said


def test_a_run_that_is_killed_goes_on_in_its_mlflow_run(vaeorch, spec, out):
    words = ["train", str(spec), "--out", str(out), "--set", "run.epochs=400"]
    command = [sys.executable, "-m", "orchestrator", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for number in (signal.SIGKILL, signal.SIGTERM):
        with warm.Popen(command, cwd=ROOT, **quiet) as process:
            before = lines_of(out)
            until(lambda: lines_of(out) > before + 2, 120)  # noqa: B023
            os.kill(process.pid, number)
    code, said, _ = vaeorch("results", "tiny", "--out", out, "--format", "csv")
    assert code == 0 and "stopped (interrupted)" in said
    assert vaeorch("sync", "tiny", "--out", out)[:2] == (0, "Everything is sent.\n")
    run, steps = the_run(out)
    assert steps == list(range(1, len(steps) + 1)) and run.info.status == "KILLED"


def lines_of(out: Path) -> int:
    file = out / "tiny" / "metrics.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def test_a_run_of_an_earlier_version_is_in_results(vaeorch, spec, out):
    assert vaeorch("train", spec, "--out", out)[0] == 0
    shutil.rmtree(out / "tiny" / "spool")
    config = json.loads((out / "tiny" / "config.json").read_text())
    del config["objective"]
    (out / "tiny" / "config.json").write_text(json.dumps(config))
    code, said, _ = vaeorch("results", "tiny", "--out", out)
    assert code == 0 and "completed" in said
    (out / "tiny" / "metrics.jsonl").write_text("torn{")
    code, _, err = vaeorch("results", "tiny", "--out", out)
    assert (code, len(err.splitlines())) == (2, 1) and "is damaged" in err


def test_a_damaged_checkpoint_of_a_run_is_told_and_the_run_is_trained_anew(vaeorch, spec, tmp_path):
    words = ("train", spec, "--out", tmp_path, "--set", "run.epochs=1")
    assert vaeorch(*words)[0] == 0
    (tmp_path / "tiny" / "checkpoint.pt").write_bytes(b"half")
    code, out, err = vaeorch(*words)
    assert code == 0, err
    [note] = [line for line in out.splitlines() if line.startswith("note ")]
    assert "checkpoint.pt: not a" in note and note.endswith("The trial is trained anew, with the same numbers.")
