"""Who runs in a sweep: found when a slot asks, found again from the journal wherever it was cut. One slot, no Ray."""

import json
import math
import os
import shutil

import pytest

from orchestrator.clusters.resources import cpus
from orchestrator.commands.dry_run import as_text, described
from orchestrator.execution.run import finish
from orchestrator.schedulers.base import PAUSE
from orchestrator.space.candidates import same_run
from orchestrator.space.plan import Plan
from orchestrator.space.trials import Trial, list_trials
from orchestrator.spec.records import SweepSpec
from orchestrator.storage.journal import Journal
from orchestrator.sweep import reuse
from orchestrator.sweep.budget import BudgetMeter
from orchestrator.sweep.open import slot_config
from orchestrator.sweep.ranking import configurations
from orchestrator.sweep.results_file import ResultsFile
from orchestrator.sweep.reuse import Finished
from orchestrator.sweep.state import SweepState
from orchestrator.sweep.trial_queue import TrialQueue
from tests.small_runs import a_run

EPOCHS = 4
ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 2, "max_epochs": EPOCHS}
SEARCH = {
    "method": {
        "choice": [
            {"name": "vae"},
            {"name": "intel_vae", "mapping": {"name": "sectors", "clusters": {"choice": [2, 5]}}},
        ]
    },
    "optimizer.lr": {"loguniform": [1e-4, 1e-1]},
}
LOW = {"optimizer.lr": {"loguniform": [1e-4, 1e-2]}}  # none diverges
FEW = {"method": SEARCH["method"]}  # three configurations
RATES = {"optimizer.lr": {"grid": [1e-3, 1e-2, 1e-1]}}
OPTUNA = {"name": "optuna", "startup_trials": 3}


def spec_of(search: dict = SEARCH, **changes) -> SweepSpec:
    run = a_run(epochs=EPOCHS).model_dump(mode="json")
    known = {"name": "a", "run": run, "search": search, "scheduler": ASHA}
    return SweepSpec.model_validate_json(json.dumps(known | changes))


def drawn(**changes) -> SweepSpec:
    return spec_of(**{"searcher": OPTUNA, "trials": 8} | changes)


def value_of(run: dict, epoch: int) -> float | None:
    """An objective; None: the training diverges. Best at a rate of 1e-2, with a little luck for each seed."""
    rate = math.log10(run["optimizer"]["lr"]) + 2
    if rate > 0.7:
        return None
    luck = math.sin(1000 * rate + run["seed"])
    return -abs(rate) + 0.1 * epoch + 0.01 * luck


class Killed(Exception):
    pass


class Mortal(Journal):
    """Its process is killed after its first `lines`."""

    def __init__(self, folder, lines):
        super().__init__(folder)
        self.left = lines

    def append(self, event):
        super().append(event)
        self.left -= 1
        if self.left == 0:
            raise Killed


def opened(folder, spec: SweepSpec, lines: int = 10**6, made_with: dict | None = None, **more) -> TrialQueue:
    def as_config(trial: Trial) -> dict:
        return slot_config(spec, folder, None, trial)

    listed = list_trials(spec)
    configs = {config["id"]: config for config in map(as_config, listed)}
    limits = spec.budget.model_dump(exclude_none=True) if spec.budget else {}
    budget = BudgetMeter(limits, gpus=0, clock=lambda: 0.0)
    results_file = ResultsFile(folder, spec.name, spec.objective.model_dump(), configs, budget)
    core = spec.scheduler.build(spec.objective.mode)
    state = SweepState(core, results_file, Mortal(folder, lines), lambda facts: as_config(Trial(**facts)), budget)
    state.start(made_with=made_with)
    return TrialQueue(Plan(spec, listed), state, **more)


def drive(queue: TrialQueue) -> TrialQueue:
    """What Tune has to do with a sweep on one slot, and no more."""
    state = queue.state
    broken = [trial for trial, paused in state.standing.items() if not paused]
    new = [number for number in queue.left() if state.names.get(number) not in state.standing]
    later = [number for number in new if queue.confirms(number) and state.confirming is None]
    new = [number for number in new if number not in later]
    while True:
        if broken:
            occupy(state, broken.pop())
        elif (promoted := state.next()) is not None:
            occupy(state, state.names[promoted])
        elif new and not state.budget.empty:
            if config := queue.enter(new.pop(0)):
                occupy(state, config["id"])
        elif (closing := state.close()) is not None:
            occupy(state, state.names[closing])
        else:
            for trial in list(state.standing):
                state.end(trial, "stopped", state.reason(trial))
            if state.budget.empty or not later:
                break
            new, later = later, []
    assert queue.complete()
    state.finish()
    return queue


def occupy(state: SweepState, trial: str) -> None:
    """Train a trial until it gives up the slot."""
    state.begin(trial)
    config = state.results_file.trials[trial]
    answer = ""
    while answer != PAUSE:
        epoch = state.results_file.entries[trial]["epochs"] + 1
        value = value_of(config["run"], epoch)
        if epoch > config["last_epoch"] or value is None:
            state.end(trial, *(("diverged", f"at epoch {epoch}") if value is None else ("completed", None)))
            return
        answer = state.report(trial, epoch, {"val/elbo": value}, seconds=1.0)


def journal_of(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def entries_of(queue: TrialQueue, stage: str = "search") -> list[dict]:
    return [entry for entry in queue.state.results_file.results()["trials"] if entry["stage"] == stage]


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Losses of power are not what is tested."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


SWEEPS = {
    "optuna": drawn(),
    "optuna with seeds, confirmed": drawn(trials=4, seeds=2, confirm={"top": 2, "seeds": 2}),
    "optuna within a budget": drawn(budget={"epochs": 11}),
    "few draws, closed and confirmed": drawn(
        search=LOW, trials=3, scheduler=ASHA | {"reduction_factor": 4}, confirm={"top": 1, "seeds": 2}
    ),
    "hyperband, confirmed": spec_of(trials=5, scheduler=ASHA | {"name": "hyperband"}, confirm={"top": 1, "seeds": 3}),
    "a budget that ends while the best are confirmed": spec_of(
        RATES, scheduler={"name": "none"}, confirm={"top": 2, "seeds": 2}, budget={"epochs": 11}
    ),
}


@pytest.mark.parametrize("spec", SWEEPS.values(), ids=SWEEPS)
def test_a_sweep_cut_at_any_event_comes_to_the_same_end(tmp_path, spec):
    whole = tmp_path / "whole"
    whole.mkdir()
    results = drive(opened(whole, spec)).state.results_file.results()
    expected = journal_of(whole)
    assert len(expected) > 20
    for cut in range(1, len(expected)):
        folder = tmp_path / "cut"
        folder.mkdir()
        with pytest.raises(Killed):
            drive(opened(folder, spec, lines=cut))
        assert drive(opened(folder, spec)).state.results_file.results() == results
        assert journal_of(folder) == expected, f"cut after {cut} events"
        shutil.rmtree(folder)


def test_a_sweep_of_few_trials_ends_with_one_trained_in_full_before_the_best_are_confirmed(tmp_path):
    queue = drive(opened(tmp_path, SWEEPS["few draws, closed and confirmed"]))
    assert sorted(entry["epochs"] for entry in entries_of(queue)) == [1, 1, EPOCHS]
    kinds = [event["event"] for event in journal_of(tmp_path)]
    assert "closing" in kinds and kinds.index("closing") < kinds.index("confirming")


def test_a_budget_that_is_used_up_closes_nothing(tmp_path):
    spec = spec_of(LOW, trials=3, scheduler=ASHA | {"reduction_factor": 4}, budget={"epochs": 3})
    queue = drive(opened(tmp_path, spec))
    assert [entry["epochs"] for entry in entries_of(queue)] == [1, 1, 1]
    assert "closing" not in [event["event"] for event in journal_of(tmp_path)]


def test_a_drawn_sweep_has_all_its_trials_and_none_twice(tmp_path):
    queue = drive(opened(tmp_path, drawn(trials=20)))
    assert [entry["id"] for entry in entries_of(queue)] == [f"{number:04d}" for number in range(1, 21)]
    runs = [same_run(trial["run"]) for trial in queue.state.results_file.trials.values()]
    assert len(set(runs)) == 20
    assert {entry["status"] for entry in entries_of(queue)} == {"completed", "stopped", "diverged"}


def test_draws_follow_from_the_search_seed(tmp_path):
    def configs(name: str, seed: int) -> list[dict]:
        (tmp_path / name).mkdir()
        return [entry["config"] for entry in entries_of(drive(opened(tmp_path / name, drawn(search_seed=seed))))]

    assert configs("a", 3) == configs("b", 3) != configs("c", 4)


def test_a_search_space_that_is_smaller_than_asked_is_drawn_in_full(tmp_path):
    queue = drive(opened(tmp_path, drawn(search=FEW, trials=8)))
    assert len(queue) == 3 and len(entries_of(queue)) == 3


def test_options_that_make_equal_runs_are_one_configuration_and_the_sweep_ends_in_order(tmp_path):
    """`kl_warmup_epochs: 0` is the default, and 1 is 1.0."""
    search = {"kl_warmup_epochs": {"choice": [0, 0.0, 1, 1.0, 2]}, "precision": {"choice": ["fp32", "bf16"]}}
    queue = drive(opened(tmp_path, drawn(search=search, trials=10)))
    assert len(queue) == 10 and len(entries_of(queue)) == 6
    assert [event["params"] is None for event in journal_of(tmp_path) if event["event"] == "drawn"] == [False] * 6 + [
        True
    ] * 4


def test_what_cannot_run_is_drawn_again(tmp_path):
    def allowed(found) -> bool:
        return found.values["optimizer"]["lr"] < 1e-3

    queue = drive(opened(tmp_path, drawn(), allowed=allowed))
    configs = [entry["config"] for entry in entries_of(queue)]
    assert len(configs) == 8 and all(config["optimizer.lr"] < 1e-3 for config in configs)


def test_seeds_of_one_draw_are_trained_side_by_side(tmp_path):
    queue = drive(opened(tmp_path, drawn(trials=3, seeds=2)))
    found = [(entry["id"], entry["configuration"], entry["seed"]) for entry in entries_of(queue)]
    assert found == [(f"{2 * one + seed + 1:04d}", one + 1, seed) for one in range(3) for seed in range(2)]


def test_each_point_of_a_grid_is_searched_by_itself(tmp_path):
    """The draws at one point are the same whatever the results at the other are."""
    search = SEARCH | {"batch_size": {"grid": [32, 64]}}

    def at_32(name: str, others: float) -> list[dict]:
        (tmp_path / name).mkdir()
        queue = opened(tmp_path / name, drawn(search=search, scheduler={"name": "none"}))
        for number in range(1, len(queue) + 1):
            config = queue.enter(number)
            worth = others if config["run"]["batch_size"] == 64 else 1.0
            queue.state.begin(config["id"])
            queue.state.report(config["id"], 1, {"val/elbo": worth * config["config"]["optimizer.lr"]})
            queue.state.end(config["id"], "completed", None)
        entries = queue.state.results_file.entries.values()
        return [entry["config"] for entry in entries if entry["config"]["batch_size"] == 32]

    assert len(at_32("a", 1.0)) == 8
    assert at_32("b", -1.0) == at_32("c", 1.0)


class FinishedTrials:
    """Has finished every second trial before."""

    def like(self, config: dict) -> Finished | None:
        """Its folder holds the run, which `taken` reads."""
        return Finished(f"old/{config['id']}", config["run"]) if config["number"] % 2 else None


@pytest.fixture
def finished_trials(monkeypatch) -> FinishedTrials:
    def taken(found: Finished, folder) -> list[dict]:
        return [{"val/elbo": value_of(found.folder, epoch)} for epoch in range(1, EPOCHS + 1)]

    monkeypatch.setattr(reuse, "copy", taken)
    return FinishedTrials()


@pytest.mark.parametrize("spec", [spec_of(LOW, trials=6), drawn(search=LOW, trials=6, budget={"epochs": 9})])
def test_trials_of_earlier_sweeps_count_as_completed_and_cost_nothing(tmp_path, finished_trials, spec):
    queue = drive(opened(tmp_path, spec, finished_trials=finished_trials))
    taken = [entry for entry in entries_of(queue) if "reused_from" in entry]
    assert [(entry["id"], entry["reused_from"]) for entry in taken] == [
        (name, f"old/{name}") for name in ("0001", "0003", "0005")
    ]
    assert {(entry["status"], entry["epochs"], bool(entry["best"])) for entry in taken} == {("completed", EPOCHS, True)}
    trained = sum(entry["epochs"] for entry in entries_of(queue) if entry not in taken)
    assert trained == sum(event["event"] == "epoch" for event in journal_of(tmp_path))
    if spec.budget:
        assert queue.state.budget.spent == {"epochs": trained}


def test_trials_of_earlier_sweeps_are_told_like_any_other(tmp_path, finished_trials):
    news = drive(opened(tmp_path, spec_of(LOW, trials=2), finished_trials=finished_trials)).state.take_news()
    first = [(name, *values[:2]) for name, trial, *values in news if trial == "0001"]
    assert [name for name, *_ in first] == ["trial_started", *["epoch"] * EPOCHS, "trial_ended"]
    assert first[-1] == ("trial_ended", "completed", "reused from old/0001")


def test_trials_of_earlier_sweeps_take_their_places_at_the_rungs(tmp_path, finished_trials):
    queue = drive(opened(tmp_path, spec_of(LOW, trials=6), finished_trials=finished_trials))
    rungs = queue.state.core.rungs
    assert all({1, 3, 5} <= rung.scores.keys() and {1, 3, 5} <= rung.promoted for rung in rungs)


def test_a_sweep_that_takes_trials_over_may_be_cut_anywhere(tmp_path, finished_trials):
    spec = drawn(search=LOW, trials=6, confirm={"top": 1, "seeds": 2})
    (tmp_path / "whole").mkdir()
    results = drive(opened(tmp_path / "whole", spec, finished_trials=finished_trials)).state.results_file.results()
    expected = journal_of(tmp_path / "whole")
    for cut in range(1, len(expected)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        with pytest.raises(Killed):
            drive(opened(folder, spec, cut, finished_trials=finished_trials))
        assert drive(opened(folder, spec, finished_trials=finished_trials)).state.results_file.results() == results
        assert journal_of(folder) == expected


def test_code_that_changes_while_a_sweep_runs_is_noted(tmp_path):
    queue = opened(tmp_path, spec_of(RATES))
    assert queue.state.results_file.results()["made_with"] is None  # nobody said it
    for folder, codes, kept in (("a", ["x", "x"], {"code": "x"}), ("b", ["x", "y", "x"], None)):
        (tmp_path / folder).mkdir()
        for code in codes:
            state = opened(tmp_path / folder, spec_of(RATES), made_with={"code": code}).state
        assert state.results_file.results()["made_with"] == kept


def test_the_best_are_confirmed_in_full_with_fresh_seeds(tmp_path):
    spec = drawn(trials=6, seeds=2, confirm={"top": 2, "seeds": 3})
    queue = drive(opened(tmp_path, spec))
    results = queue.state.results_file.results()
    before = results | {"trials": entries_of(queue)}
    best = [one["configuration"] for one in configurations(before)[:2]]
    again = entries_of(queue, "confirm")
    assert [(entry["configuration"], entry["seed"]) for entry in again] == [
        (configuration, seed) for configuration in best for seed in (2, 3, 4)
    ]
    assert {(entry["status"], entry["epochs"]) for entry in again} == {("completed", EPOCHS)}
    for entry in again:
        same = next(one for one in entries_of(queue) if one["configuration"] == entry["configuration"])
        assert entry["config"] == same["config"]


def test_fewer_configurations_than_are_to_be_confirmed_are_all_confirmed(tmp_path):
    queue = drive(opened(tmp_path, spec_of(FEW | RATES, trials=1, confirm={"top": 99, "seeds": 1})))
    assert len(queue) == 3 + 3
    assert len(entries_of(queue, "confirm")) == 2  # one rate diverges at once: there is nothing to confirm


def test_a_budget_ends_a_sweep_with_what_it_has(tmp_path):
    queue = drive(opened(tmp_path, drawn(trials=50, budget={"epochs": 11})))
    results = queue.state.results_file.results()
    assert sum(entry["epochs"] for entry in results["trials"]) == 11
    assert results["budget"] == {"epochs": {"limit": 11, "spent": 11}, "used_up": True}
    [cut] = [entry for entry in results["trials"] if entry["reason"] == "budget: 11 epochs"]
    assert cut["status"] == "stopped" and queue.state.over
    assert {cut["id"]} == queue.state.cut
    paused = [entry for entry in results["trials"] if entry["status"] == "stopped" and entry is not cut]
    assert paused and all(entry["reason"] == f"asha@{entry['epochs']}" for entry in paused)


def test_a_sweep_within_its_budget_is_not_marked(tmp_path):
    queue = drive(opened(tmp_path, spec_of(RATES, budget={"epochs": 1000})))
    results = queue.state.results_file.results()
    assert results["budget"]["used_up"] is False and len(results["trials"]) == 3


def test_the_end_of_a_sweep_tells_of_its_budget(tmp_path):
    told = []

    class Tracker:
        def sweep_ended(self, *values):
            told.append(values)

    queue = drive(opened(tmp_path, drawn(trials=50, budget={"epochs": 11})))
    finish(queue.state.results_file, "completed", Tracker(), Tracker())
    assert [(status, tags["used_up"]) for status, _, tags in told] == [("completed", "budget: 11 epochs")] * 2


def test_a_last_epoch_counts_though_it_uses_up_the_budget(tmp_path):
    queue = drive(opened(tmp_path, spec_of(RATES, scheduler={"name": "none"}, budget={"epochs": EPOCHS})))
    [entry] = entries_of(queue)
    assert (entry["status"], entry["reason"]) == ("completed", None)


def test_the_plan_counts_trials_that_are_not_known_yet(tmp_path):
    spec = drawn(trials=6, seeds=2, confirm={"top": 2, "seeds": 3}, resources={"cpus_per_worker": cpus()})
    planned = described(Plan.of(spec), tmp_path)
    assert (planned["trials"], planned["confirming"], planned["slots"]) == (12 + 6, 6, 1)
    assert planned["epochs_at_most"] == 18 * EPOCHS
    assert planned["epochs_expected"] == 12 * (1 + 1 / 2 + 2 / 4) + 6 * EPOCHS
    assert "18 trials (6 configurations, 2 seeds each), 6 of them to confirm the best" in as_text(planned)


@pytest.mark.parametrize(
    ("scheduler", "count", "expected", "note"),
    [
        (ASHA, 1, EPOCHS, None),  # one trial trains in full, and of a trial alone there is nothing to say
        (ASHA, 3, 3 + 1.5 + 2, "3 trials are too few to be halved down to one (that takes 4)"),
        (ASHA, 4, 4 + 2 + 2, None),
        (ASHA | {"reduction_factor": 4}, 3, 3 + 3, "3 trials are too few to be halved down to one (that takes 4)"),
        (ASHA | {"name": "hyperband"}, 4, 5 + 4 + 4, "2 trials of a bracket are too few"),
        ({"name": "none"}, 2, 2 * EPOCHS, None),
    ],
)
def test_the_plan_knows_that_one_at_least_is_trained_in_full(tmp_path, scheduler, count, expected, note):
    spec = spec_of(LOW, trials=count, scheduler=scheduler)
    planned = described(Plan.of(spec), tmp_path)
    assert planned["epochs_at_most"] == count * EPOCHS
    assert planned["epochs_expected"] == round(expected)
    assert len(planned["notes"]) == (note is not None)
    if note:
        [said] = planned["notes"]
        assert said.startswith(note) and said.endswith(
            f"the best of each rung goes on, so one is trained to epoch {EPOCHS}."
        )


def test_the_plan_expects_no_more_than_the_budget(tmp_path):
    planned = described(Plan(drawn(budget={"epochs": 5}), []), tmp_path)
    assert planned["epochs_expected"] == 5 and "budget     epochs 5" in as_text(planned)


def test_examples_of_what_may_be_drawn_have_each_option_and_each_end():
    configs = [trial.config for trial in Plan(drawn(), []).examples]
    assert {config["optimizer.lr"] for config in configs} == {1e-4, 1e-1}
    assert {config.get("method.mapping.clusters") for config in configs} == {None, 2, 5}
    assert [trial.config for trial in Plan(drawn(search={}, trials=1), []).examples] == [{}]
