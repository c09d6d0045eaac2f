"""A sweep on real Ray whose trainings end early by themselves, in slots of their own and in shared ones."""

import json

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.execution.run import run_sweep
from orchestrator.space.plan import Plan
from orchestrator.sweep.folder import claim
from tests.support.small_runs import a_run
from tests.support.sweeps import Recorder, spec_of, trials_of
from trainables.common.threads import torch_threads
from trainables.train import train

EPOCHS = 30
HALF = max(1, cpus() // 2)  # of the CPUs, and so the threads of each of two slots
CHANGES = [
    {"optimizer": {"lr": 0.03}, "seed": seed, "early_stopping": {"patience": patience}}
    for seed, patience in ((0, 1), (1, 3), (2, 1), (3, 2))  # two for each of two slots
]


@pytest.fixture(scope="module")
def alone() -> list[int]:
    """The epochs of each, trained alone."""
    with torch_threads(HALF):
        return [sum(1 for _ in train(a_run(epochs=EPOCHS, **changes))) for changes in CHANGES]


@pytest.mark.parametrize("together", [1, 2])
def test_each_trial_is_completed_after_the_epochs_that_it_takes_alone(alone, tmp_path, together):
    resources = {"trials_per_slot": together, "cpus_per_worker": HALF}
    spec = spec_of("early", EPOCHS, scheduler={"name": "none"}, resources=resources, pictures={"top": 1})
    folder = claim(tmp_path, spec)
    outcome = run_sweep(Plan(spec, trials_of(*CHANGES, epochs=EPOCHS)), folder, Recorder(), Recorder())
    decisions = outcome.results.get("stacking", [])
    assert [decision["stacked"] for decision in decisions] == [True] * (together - 1)
    if not all(decision["equal"] for decision in decisions):
        pytest.skip("this machine rounds otherwise for such a stack")
    found = [(trial["status"], trial["epochs"], trial["reason"]) for trial in outcome.results["trials"]]
    assert found == [("completed", epochs, None) for epochs in alone]
    assert alone[0] < alone[1] and max(alone) < EPOCHS
    for number, epochs in enumerate(alone, start=1):
        home = folder / "trials" / f"000{number}"
        assert len((home / "metrics.jsonl").read_text().splitlines()) == epochs and (home / "fitted.pt").exists()
    assert len(list(folder.glob("trials/*/pictures/*"))) == 1


def test_a_run_that_is_trained_alone_is_finished_there(vaeorch, spec, tmp_path):
    early = ("--set", "run.early_stopping.patience=1", "--set", "run.optimizer.lr=0.1")
    words = ("--set", "scheduler={name: none}", "--set", "run.epochs=40", *early)
    code, _, error = vaeorch("train", spec, "--out", tmp_path / "runs", *words)
    assert code == 0, error
    code, said, _ = vaeorch("results", "tiny", "--out", tmp_path / "runs", "--format", "json")
    [entry] = json.loads(said)["trials"]
    assert (code, entry["status"]) == (0, "completed") and 1 < entry["epochs"] < 40
    assert "finished" in vaeorch("list", "--out", tmp_path / "runs")[1]


def test_a_scheduler_and_early_stopping_exclude_each_other(vaeorch, spec, tmp_path):
    asha = ("--set", "scheduler={name: asha, grace_epochs: 1}", "--set", "run.early_stopping.patience=2")
    code, _, error = vaeorch("sweep", spec, "--dry-run", "--out", tmp_path / "runs", *asha)
    assert code == 2
    assert "run.early_stopping: the scheduler decides how long a trial trains. Remove this, or use" in error


def test_a_trial_that_has_ended_by_itself_is_not_trained_for_longer(vaeorch, spec, tmp_path):
    early = ("--set", "run.early_stopping={metric: val/loss, patience: 1}", "--set", "run.optimizer.lr=0.1")
    words = ("--out", tmp_path / "runs", "--set", "scheduler={name: none}", "--set", "run.epochs=40")
    code, _, error = vaeorch("sweep", spec, *words, *early)
    assert code == 0, error
    code, _, error = vaeorch("extend", "tiny", "--out", tmp_path / "runs", "--epochs", 5)
    assert code == 2
    assert "--epochs: trial 0001 has ended by itself after" in error and "of 40 epochs (run.early_stopping)" in error
