"""Who runs in a sweep: found when a slot asks, found again from the journal wherever it was cut. One slot, no Ray."""

import shutil

import pytest

from orchestrator.execution.run import finish
from orchestrator.space.candidates import same_run
from orchestrator.space.plan import Plan
from orchestrator.sweep import reuse
from orchestrator.sweep.ranking import configurations
from orchestrator.sweep.reuse import Finished
from tests.support.journals import Killed, journal_of
from tests.support.one_slot import (
    ASHA,
    EPOCHS,
    FEW,
    LOW,
    RATES,
    SEARCH,
    drawn,
    drive,
    entries_of,
    opened,
    spec_of,
    value_of,
)

pytestmark = pytest.mark.usefixtures("fast_disk")

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


def test_examples_of_what_may_be_drawn_have_each_option_and_each_end():
    configs = [trial.config for trial in Plan(drawn(), []).examples]
    assert {config["optimizer.lr"] for config in configs} == {1e-4, 1e-1}
    assert {config.get("method.mapping.clusters") for config in configs} == {None, 2, 5}
    assert [trial.config for trial in Plan(drawn(search={}, trials=1), []).examples] == [{}]
