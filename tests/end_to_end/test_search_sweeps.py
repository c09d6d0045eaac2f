"""Searches on real Ray: one that draws, is broken off, goes on and confirms; one that takes a trial from it."""

import json

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.execution.run import run_sweep
from orchestrator.space.plan import Plan
from orchestrator.space.trials import Trial
from orchestrator.spec.records import SweepSpec
from orchestrator.sweep.folder import claim
from orchestrator.sweep.open import Start
from tests.support.small_runs import a_run
from tests.support.sweeps import Recorder

EPOCHS = 2
ONE_SLOT = {"cpus_per_worker": cpus()}
DRAWN = {
    "name": "drawn",
    "run": a_run(epochs=EPOCHS).model_dump(mode="json"),
    "search": {"optimizer.lr": {"loguniform": [1e-4, 1e-2]}, "network.latent_dim": {"choice": [2, 4]}},
    "trials": 4,
    "searcher": {"name": "optuna", "startup_trials": 2},
    "confirm": {"top": 1, "seeds": 2},
    "scheduler": {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": EPOCHS},
    "resources": ONE_SLOT,
}


def spec_of(**changes) -> SweepSpec:
    return SweepSpec.model_validate_json(json.dumps(DRAWN | changes))


class Impatient(Recorder):
    """Presses Ctrl-C at the third epoch."""

    def epoch(self, *values):
        self.told.append(("epoch", *values))
        if sum(event[0] == "epoch" for event in self.told) == 3:
            raise KeyboardInterrupt


def events_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The outcomes of both processes, and what the second told its tracker."""
    spec = spec_of()
    folder = claim(tmp_path_factory.mktemp("out"), spec)
    broken = run_sweep(Plan(spec, []), folder, Recorder(), Impatient())
    tracker = Recorder()
    return broken, run_sweep(Plan(spec, []), folder, tracker, Recorder()), tracker.told


def test_a_search_that_is_broken_off_draws_on_where_it_was(swept):
    broken, outcome, _ = swept
    assert broken.interrupted and not outcome.interrupted
    first = [event["params"] for event in events_of(outcome.folder) if event["event"] == "drawn"]
    assert len(first) == 4 and all(first)
    known = {trial["id"]: trial["config"] for trial in broken.results["trials"]}
    assert len(known) < 4
    later = {trial["id"]: trial["config"] for trial in outcome.results["trials"] if trial["stage"] == "search"}
    assert len(later) == 4 and known.items() <= later.items()


def test_the_best_is_confirmed_and_leads(swept):
    outcome, told = swept[1:]
    again = [trial for trial in outcome.results["trials"] if trial["stage"] == "confirm"]
    assert [(trial["status"], trial["epochs"], trial["seed"]) for trial in again] == [
        ("completed", EPOCHS, 1),
        ("completed", EPOCHS, 2),
    ]
    best = outcome.results["configurations"][0]
    assert best["confirmed"] and best["n"] == 2
    name, status, metrics, tags = told[-1]
    assert (name, status, tags["best_configuration"]) == ("sweep_ended", "completed", str(best["configuration"]))
    assert (metrics["val/elbo"], metrics["val/elbo_n"]) == (pytest.approx(best["mean"]), 2.0)


def test_trackers_hear_of_drawn_and_confirming_trials_with_what_tells_them_apart(swept):
    outcome, told = swept[1:]
    started = {event[1]: event[2] for event in told if event[0] == "trial_started"}
    assert started.keys() == {trial["id"] for trial in outcome.results["trials"]}
    for trial in outcome.results["trials"]:
        same = {key: trial[key] for key in ("configuration", "seed", "stage")}
        assert started[trial["id"]] == trial["config"] | same


@pytest.fixture(scope="module")
def after(swept):
    """A sweep of a trial that the first has finished, and of two new ones with a budget for less than one of them."""
    outcome = swept[1]
    [one, _] = [trial for trial in outcome.results["trials"] if trial["stage"] == "confirm"]
    run = json.loads((outcome.folder / "trials" / one["id"] / "config.json").read_text())["run"]
    runs = [run, run | {"seed": 100}, run | {"seed": 101}]
    trials = [Trial(number, number, {"seed": each["seed"]}, each, each["seed"]) for number, each in enumerate(runs, 1)]
    plain = {"name": "after", "searcher": {"name": "random"}, "confirm": None, "scheduler": {"name": "none"}}
    spec = spec_of(**plain, budget={"epochs": 1})
    tracker = Recorder()
    folder = claim(outcome.folder.parent, spec)
    return one, run_sweep(Plan(spec, trials), folder, tracker, Recorder(), Start(reuse=True)), tracker.told


def test_a_trial_of_the_earlier_sweep_is_taken_whole(after):
    earlier, outcome, told = after
    taken = outcome.results["trials"][0]
    assert (taken["status"], taken["reused_from"]) == ("completed", f"drawn/{earlier['id']}")
    assert (taken["best"], taken["last"], taken["epochs"]) == (earlier["best"], earlier["last"], EPOCHS)
    assert taken["checkpoint"] == str(outcome.folder / "trials" / "0001" / "best.pt")
    assert [event[2] for event in told if event[:2] == ("epoch", "0001")] == [1, 2]
    assert ("trial_ended", "0001", "completed", taken["reason"]) in [event[:4] for event in told]
    assert any(event[:3] == ("pictures", "0001", taken["best"]["epoch"]) for event in told)


def test_a_budget_ends_the_sweep_in_order(after):
    outcome = after[1]
    assert not outcome.interrupted
    assert [(trial["id"], trial["epochs"], trial["reason"]) for trial in outcome.results["trials"][1:]] == [
        ("0002", 1, "budget: 1 epochs")
    ]
    assert outcome.results["budget"] == {"epochs": {"limit": 1, "spent": 1}, "used_up": True}
    assert events_of(outcome.folder)[-1]["event"] == "finished"
