"""A sweep on real Ray whose trials share a slot: interrupted once, and its process killed once."""

import io
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from orchestrator.clusters.resources import cpus
from orchestrator.commands.watch import board_of
from orchestrator.execution import shared_slot
from orchestrator.execution.run import run_sweep
from orchestrator.execution.shared_slot import SharedSlot
from orchestrator.reporting.console import PlainLines
from orchestrator.space.plan import Plan
from orchestrator.sweep.folder import claim
from tests.support.journals import journal_of
from tests.support.small_runs import a_run
from tests.support.sweeps import EPOCHS, Recorder, spec_of, trials_of
from trainables.train import train

LEARN = [{"seed": seed, "optimizer": {"lr": lr}} for seed, lr in enumerate((3e-3, 1e-4, 1e-2, 1e-3))]
DIVERGES = {"seed": 9, "optimizer": {"lr": 1e18}}
OTHER = {"batch_size": 50}  # of another shape
FAILS = {"data": {"name": "digits", "train_rows": 10**6}}
CHANGES = [*LEARN, DIVERGES, OTHER, FAILS]
TOGETHER = 4


class KilledOnce(SharedSlot):
    """Its process is killed the first time that a trial has trained two epochs there beside others."""

    def step(self) -> dict:
        done = Path(self.config["folder"]) / "killed"
        found = super().step()
        trained = [result["epoch"] for result in found.get("results", ())]
        if len(trained) > 1 and max(trained) >= 2 and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return found


class Impatient(Recorder):
    """A console whose user presses Ctrl-C once an epoch of some trials is done."""

    def epoch(self, *values) -> None:
        self.told.append(("epoch", *values))
        if len([event for event in self.told if event[0] == "epoch"]) == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The outcome of the sweep, resumed after Ctrl-C, and what the tracker was told then: all of it."""
    resources = {"cpus_per_worker": cpus(), "trials_per_slot": TOGETHER}
    spec = spec_of("shared", EPOCHS, scheduler={"name": "none"}, resources=resources, pictures={"top": 1})
    folder, tracker = claim(tmp_path_factory.mktemp("out"), spec), Recorder()
    plan = Plan(spec, trials_of(*CHANGES, epochs=EPOCHS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_slot, "SharedSlot", KilledOnce)
        broken_off = run_sweep(plan, folder, Recorder(), Impatient())
        outcome = run_sweep(plan, folder, tracker, PlainLines(board_of(folder, spec), Console(file=io.StringIO())))
    return SimpleNamespace(broken_off=broken_off, outcome=outcome, told=tracker.told, folder=folder)


def test_all_trials_end_as_if_each_had_a_slot_of_its_own(swept):
    assert swept.broken_off.interrupted and not swept.outcome.interrupted
    found = [(trial["status"], trial["epochs"], trial["retries"]) for trial in swept.outcome.results["trials"]]
    assert found == [("completed", EPOCHS, 0)] * 4 + [("diverged", 0, 0), ("completed", EPOCHS, 0), ("failed", 0, 1)]
    assert (swept.folder / "killed").exists()


def test_the_numbers_are_those_of_each_trained_alone_and_told_once(swept):
    threads = torch.get_num_threads()
    torch.set_num_threads(cpus())  # as in the slot
    [decision, *_] = swept.outcome.results["stacking"]
    for number, change in enumerate(CHANGES[:4], start=1):
        told = [(event[2], event[3]) for event in swept.told if event[:2] == ("epoch", f"{number:04d}")]
        expected = [(report.epoch, report.metrics) for report in train(a_run(epochs=EPOCHS, **change))]
        if decision["equal"]:
            assert told == expected
        else:  # this machine rounds otherwise for a stack
            pairs = zip(told, expected, strict=True)
            assert all(mine[1]["val/loss"] == pytest.approx(other[1]["val/loss"], rel=1e-3) for mine, other in pairs)
    torch.set_num_threads(threads)


def test_the_journal_and_results_json_say_which_are_trained_together(swept):
    events = [event for event in journal_of(swept.folder) if event["event"] == "stacking"]
    assert [(event["like"], event["stacked"]) for event in events] == [("0001", True)]
    assert events[0]["gain"] > 0
    written = json.loads((swept.folder / "results.json").read_text())["stacking"]
    assert written == [{key: events[0][key] for key in ("like", "stacked", "gain", "equal")}]


def test_one_that_fails_leaves_its_traceback_and_the_best_its_pictures(swept):
    text = (swept.folder / "trials" / "0007" / "error.txt").read_text()
    assert "rows asked for" in text
    assert len(list(swept.folder.glob("trials/*/pictures/*"))) == 1
