"""A finished sweep that goes on: with more trials, more seeds, its best for longer. One slot, no Ray."""

import shutil

import pytest

from orchestrator.errors import UserError
from orchestrator.schedulers.hyperband import Deal, bracket_graces, bracket_sizes
from orchestrator.space.candidates import same_run
from orchestrator.space.plan import Plan
from orchestrator.space.trials import list_trials
from orchestrator.storage.journal import Journal
from orchestrator.sweep.extension import Wanted, extended_plan, is_finished, settings_of
from orchestrator.sweep.inventory import progress
from orchestrator.sweep.ranking import configurations
from tests.support.journals import Killed, journal_of
from tests.support.one_slot import ASHA, EPOCHS, FEW, LOW, RATES, drawn, drive, entries_of, extended, opened, spec_of

pytestmark = pytest.mark.usefixtures("fast_disk")

TWO = {"top": 1, "seeds": 2}
NONE = {"name": "none"}


def finished(folder, spec) -> Plan:
    """A sweep that has come to its end, and its plan."""
    folder.mkdir(exist_ok=True)
    drive(opened(folder, spec))
    return Plan(spec, list_trials(spec))


def gone_on(folder, plan, wanted, **changes):
    """Extend the sweep in a folder, and run it to its end: the queue, and the plan from now on."""
    plan = extended(folder, plan, wanted, **changes)
    return drive(opened(folder, plan.spec, plan=plan)), plan


EXTENSIONS = {
    "random": (spec_of(trials=5), Wanted(trials=4, epochs=2)),
    "random with seeds, confirmed": (spec_of(trials=3, confirm=TWO), Wanted(trials=3, seeds=1)),
    "optuna": (drawn(trials=5), Wanted(trials=3, seeds=1, epochs=1)),
    "optuna within a budget": (drawn(trials=5, budget={"epochs": 9}), Wanted(trials=2)),
    "hyperband": (spec_of(trials=5, scheduler=ASHA | {"name": "hyperband"}), Wanted(trials=5)),
    "a budget alone": (spec_of(trials=6, confirm=TWO, budget={"epochs": 9}), Wanted()),
    "the best": (spec_of(LOW, trials=3, scheduler=NONE), Wanted(epochs=3, top=2)),
}
LARGER = {"budget": {"epochs": 25}}


@pytest.mark.parametrize(("spec", "wanted"), EXTENSIONS.values(), ids=EXTENSIONS)
def test_an_extension_cut_at_any_event_comes_to_the_same_end(tmp_path, spec, wanted):
    plan = finished(tmp_path / "whole", spec)
    before = len(journal_of(tmp_path / "whole"))
    queue, after = gone_on(tmp_path / "whole", plan, wanted, **(LARGER if spec.budget else {}))
    results, expected = queue.state.results_file.results(), journal_of(tmp_path / "whole")
    assert expected[before]["event"] == "extended" and len(expected) > before + 5
    lines = (tmp_path / "whole" / "journal.jsonl").read_text().splitlines(keepends=True)
    for cut in range(before + 1, len(expected)):
        folder = tmp_path / "cut"
        folder.mkdir()
        (folder / "journal.jsonl").write_text("".join(lines[:cut]))
        events = Journal(folder).events
        assert not is_finished(events)
        again = extended_plan(Plan(after.spec, plan.trials), events)
        confirming = [len(event["trials"]) for event in events[before:] if event["event"] == "confirming"]
        assert again == (after.confirmed(*confirming) if confirming else after)
        if cut % 3 == 0:  # and killed once more
            with pytest.raises(Killed):
                drive(opened(folder, after.spec, plan=again, lines=1))
        resumed = drive(opened(folder, after.spec, plan=again))
        assert str(resumed.state.results_file.results()) == str(results).replace("/whole/", "/cut/")
        assert journal_of(folder) == expected, f"cut after {cut} events"
        shutil.rmtree(folder)


def test_more_trials_are_the_next_draws_of_the_same_search(tmp_path):
    queue, _ = gone_on(tmp_path, finished(tmp_path, spec_of(trials=4)), Wanted(trials=3))
    runs = [trial["run"] for trial in queue.state.results_file.trials.values()]
    assert runs == [trial.run for trial in list_trials(spec_of(trials=7))]
    assert [entry["configuration"] for entry in entries_of(queue)] == [1, 2, 3, 4, 5, 6, 7]


def test_at_each_point_of_a_grid_there_are_as_many_more(tmp_path):
    search = LOW | {"batch_size": {"grid": [32, 64]}}
    queue, _ = gone_on(tmp_path, finished(tmp_path, spec_of(search, trials=2)), Wanted(trials=1))
    configs = [entry["config"] for entry in entries_of(queue)]
    assert [config["batch_size"] for config in configs] == [32, 64, 32, 64, 32, 64]


@pytest.mark.parametrize("make", [spec_of, drawn], ids=["random", "optuna"])
def test_extended_twice_no_trial_equals_another(tmp_path, make):
    plan = finished(tmp_path, make(trials=3))
    for wanted in (Wanted(trials=2, seeds=1, epochs=2), Wanted(trials=4, seeds=2)):
        queue, plan = gone_on(tmp_path, plan, wanted)
    trials = queue.state.results_file.trials.values()
    assert len({same_run(trial["run"]) for trial in trials}) == len(trials) == (3 + 2 + 4) * 4 == len(plan)
    by_configuration = dict.fromkeys(range(1, 10), 0)
    for trial in trials:
        by_configuration[trial["configuration"]] += 1
    assert set(by_configuration.values()) == {4}
    assert [number for number, _ in enumerate(trials, start=1)] == [trial["number"] for trial in trials]


def test_tpe_draws_on_from_all_trials_that_have_ended(tmp_path):
    """The same extension of sweeps whose results differ draws other configurations."""
    spec = drawn(search=LOW, trials=4, scheduler=NONE)
    plan = finished(tmp_path / "a", spec)
    finished(tmp_path / "b", spec)
    journal = tmp_path / "b" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    first = next(line for line in lines if '"epoch","trial":"0001","epoch":4' in line)
    journal.write_text("".join(lines).replace(first, first.replace('"val/elbo":', '"val/elbo":9')))
    draws = []
    for folder in ("a", "b"):
        queue, _ = gone_on(tmp_path / folder, plan, Wanted(trials=2))
        draws.append([entry["config"]["optimizer.lr"] for entry in entries_of(queue)])
    assert len(draws[0]) == 6 and draws[0][:4] == draws[1][:4] and draws[0][4:] != draws[1][4:]


@pytest.mark.parametrize("trials", [(2, 3), (5, 4), (9, 9)])
@pytest.mark.parametrize("mode", ["one round", "two rounds"])
def test_the_best_of_all_trials_old_and_new_go_on_from_each_rung(tmp_path, trials, mode):
    plan = finished(tmp_path, spec_of(LOW, trials=trials[0]))
    more = (trials[1],) if mode == "one round" else (1, trials[1] - 1)
    for count in more:
        queue, plan = gone_on(tmp_path, plan, Wanted(trials=count))
    entries = {int(entry["id"]): entry for entry in entries_of(queue)}
    reported = {
        (int(event["trial"]), event["epoch"]): event["metrics"]["val/elbo"]
        for event in journal_of(tmp_path)
        if event["event"] == "epoch"
    }
    assert len(entries) == sum(trials)
    for rung in queue.state.core.rungs:
        here = [number for number, entry in entries.items() if entry["epochs"] >= rung.epoch]
        assert set(here) == rung.scores.keys()
        ranked = sorted(here, key=lambda number: (-reported[number, rung.epoch], number))
        assert all(entries[number]["epochs"] > rung.epoch for number in ranked[: max(1, len(here) // 2)])
        counted = [number for number in ranked if rung.below is None or number in rung.below.promoted]
        assert set(counted[: len(counted) // 2]) <= rung.promoted  # by Algorithm 2, whatever was closed before
    assert sum(entry["status"] == "completed" for entry in entries.values()) >= 1


def test_a_stopped_trial_that_the_new_ones_lift_over_the_rung_goes_on_from_there(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=3, search_seed=10))  # its best but one is among the best of twelve
    before = {entry["id"]: entry for entry in entries_of(opened(tmp_path, plan.spec))}
    queue, _ = gone_on(tmp_path, plan, Wanted(trials=9))
    lifted = [
        entry for entry in entries_of(queue) if entry["epochs"] > before.get(entry["id"], {"epochs": 99})["epochs"]
    ]
    assert lifted and all(before[entry["id"]]["status"] == "stopped" for entry in lifted)
    epochs = [(event["trial"], event["epoch"]) for event in journal_of(tmp_path) if event["event"] == "epoch"]
    assert len(set(epochs)) == len(epochs)


def test_the_brackets_of_hyperband_fill_in_the_same_proportions(tmp_path):
    hyperband = ASHA | {"name": "hyperband"}
    plan = finished(tmp_path, spec_of(LOW, trials=8, scheduler=hyperband))
    queue, _ = gone_on(tmp_path, plan, Wanted(trials=8))
    whole = Deal(bracket_sizes(len(bracket_graces(1, 2, EPOCHS)), 2))
    core = queue.state.core
    for number in range(1, 17):
        [bracket] = {core.deal.bracket(number)}
        assert bracket == whole.bracket(number)
        rungs = core.brackets[bracket].rungs
        assert not rungs or number in rungs[0].scores
    assert all(each.full for each in core.brackets)


def test_the_best_train_on_where_they_were_and_all_else_stays(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=6))
    before = {entry["id"]: entry for entry in entries_of(opened(tmp_path, plan.spec))}
    queue, _ = gone_on(tmp_path, plan, Wanted(epochs=3))
    after = {entry["id"]: entry for entry in entries_of(queue)}
    [best] = [name for name in after if after[name] != before[name]]
    assert best == configurations(queue.state.results_file.results())[0]["trials"][0]
    assert (after[best]["status"], after[best]["epochs"], after[best]["added_epochs"]) == ("completed", EPOCHS + 3, 3)
    run = queue.state.results_file.trials[best]["run"]
    assert run["epochs"] == EPOCHS + 3 and plan.spec.run.epochs == EPOCHS
    assert not any(number > EPOCHS for rung in queue.state.core.rungs for number in [rung.epoch])


def test_a_scheduler_that_ends_before_the_run_does_leaves_the_run_as_it_is(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=2, scheduler=ASHA | {"max_epochs": 2}))
    queue, _ = gone_on(tmp_path, plan, Wanted(epochs=1))
    [best] = [trial for trial in queue.state.results_file.trials.values() if "added_epochs" in trial]
    assert (best["last_epoch"], best["run"]["epochs"]) == (3, EPOCHS)


def test_seeds_that_are_added_later_are_trained_as_long_as_their_configuration(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=3))
    _, plan = gone_on(tmp_path, plan, Wanted(epochs=2))
    queue, _ = gone_on(tmp_path, plan, Wanted(seeds=2))
    [best] = [one for one in configurations(queue.state.results_file.results()) if one["statuses"] == {"completed": 3}]
    epochs = {entry["id"]: entry["epochs"] for entry in entries_of(queue)}
    assert {epochs[name] for name in best["trials"]} == {EPOCHS + 2}
    assert {epochs[name] for name in epochs.keys() - set(best["trials"])} <= {1, 2, EPOCHS}


def test_all_seeds_of_the_best_configuration_are_trained_for_longer(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=2, seeds=2, scheduler=NONE))
    queue, _ = gone_on(tmp_path, plan, Wanted(epochs=1))
    epochs = [row["epochs"] for row in configurations(queue.state.results_file.results())]
    assert sorted(epochs) == [2 * EPOCHS, 2 * EPOCHS + 2]


def test_only_those_among_the_best_that_are_not_confirmed_are_confirmed(tmp_path):
    spec = spec_of(LOW, trials=2, scheduler=NONE, confirm={"top": 2, "seeds": 2})
    plan = finished(tmp_path, spec)
    queue, plan = gone_on(tmp_path, plan, Wanted(trials=6))
    results = queue.state.results_file.results()
    searched = [trial for trial in results["trials"] if trial["stage"] == "search"]
    best = {row["configuration"] for row in configurations(results | {"trials": searched})[:2]}
    confirmed = {trial["configuration"] for trial in entries_of(queue, "confirm")}
    assert confirmed == best | {1, 2} and best != {1, 2}
    assert len(entries_of(queue, "confirm")) == 2 * len(confirmed)
    queue, _ = gone_on(tmp_path, plan, Wanted(epochs=1))
    assert {trial["configuration"] for trial in entries_of(queue, "confirm")} == confirmed


def test_a_finished_sweep_plans_no_more_trials_than_it_has_however_often_it_was_extended(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=4, scheduler=NONE, confirm={"top": 3, "seeds": 2}))
    counts = []
    for wanted in (Wanted(trials=2), Wanted(seeds=1), Wanted(epochs=1)):
        queue, plan = gone_on(tmp_path, plan, wanted)
        counts.append(len(entries_of(queue)) + len(entries_of(queue, "confirm")))
        events = Journal(tmp_path).events
        plan = extended_plan(Plan(plan.spec, plan.first_trials), events)
        assert len(plan) == len(progress(tmp_path).plan(plan.spec)) == counts[-1]
        assert plan.confirming == len(entries_of(queue, "confirm"))
    assert counts[0] < 4 + 3 * 2 + 2 + 3 * 2  # some of the best are confirmed already


def test_more_seeds_never_repeat_those_that_confirmed(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=2, scheduler=NONE, confirm=TWO))
    queue, _ = gone_on(tmp_path, plan, Wanted(seeds=2))
    runs = [same_run(trial["run"]) for trial in queue.state.results_file.trials.values()]
    assert len(set(runs)) == len(runs) >= 2 + 2 + 4


def test_a_larger_budget_takes_up_what_the_smaller_one_cut(tmp_path):
    spec = spec_of(LOW, trials=8, budget={"epochs": 5})
    plan = finished(tmp_path, spec)
    [cut] = [entry for entry in entries_of(opened(tmp_path, spec)) if (entry["reason"] or "").startswith("budget")]
    queue, _ = gone_on(tmp_path, plan, Wanted(), budget={"epochs": 1000})
    after = {entry["id"]: entry for entry in entries_of(queue)}
    assert len(after) == 8 and after[cut["id"]]["epochs"] > cut["epochs"]
    spent = sum(entry["epochs"] for entry in after.values())
    assert queue.state.results_file.results()["budget"] == {
        "epochs": {"limit": 1000, "spent": spent},
        "used_up": False,
    }
    (tmp_path / "at once").mkdir()
    at_once = drive(opened(tmp_path / "at once", spec_of(LOW, trials=8)))
    best = configurations(queue.state.results_file.results())[0]
    assert best["mean"] == configurations(at_once.state.results_file.results())[0]["mean"]


def test_another_kind_of_budget_and_none_are_taken_too(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=4, scheduler=NONE, budget={"hours": 1.0}))
    _, plan = gone_on(tmp_path, plan, Wanted(trials=2), budget={"epochs": 4 * EPOCHS + 3})
    queue, plan = gone_on(tmp_path, plan, Wanted(), budget=None)
    assert [entry["epochs"] for entry in entries_of(queue)] == [EPOCHS] * 6


def test_a_budget_that_comes_later_counts_the_epochs_before_it(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=3, scheduler=NONE))
    with pytest.raises(UserError, match="budget: 12 epochs are used up"):
        extended(tmp_path, plan, Wanted(trials=2), budget={"epochs": 3 * EPOCHS})
    queue, _ = gone_on(tmp_path, plan, Wanted(trials=2), budget={"epochs": 4 * EPOCHS})
    assert [entry["epochs"] for entry in entries_of(queue)] == [EPOCHS] * 4


def test_a_budget_that_is_used_up_needs_a_larger_one(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=4, budget={"epochs": 4}))
    for changes in ({}, {"budget": {"epochs": 3}}):
        with pytest.raises(UserError, match=r"epochs are used up. Give more than that: --set budget.epochs=..."):
            extended(tmp_path, plan, Wanted(trials=1), **changes)


def refusal(spec, wanted) -> str:
    with pytest.raises(UserError) as error:
        settings_of(wanted, spec)
    return "\n".join(error.value.lines)


def test_a_search_that_draws_nothing_has_no_further_trials():
    assert "walked through all values" in refusal(spec_of(FEW, searcher={"name": "grid"}), Wanted(trials=1))
    assert "draws nothing at random" in refusal(spec_of(RATES), Wanted(trials=1))
    assert settings_of(Wanted(seeds=2), spec_of(RATES)) == ["seeds=3"]


@pytest.mark.parametrize("make", [spec_of, drawn], ids=["random", "optuna"])
def test_a_search_that_is_exhausted_has_no_further_trials(tmp_path, make):
    plan = finished(tmp_path, make(search=FEW, trials=8))
    with pytest.raises(UserError, match="holds no further configurations"):
        extended(tmp_path, plan, Wanted(trials=1))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("scheduler.name=none", "contradicts the trials that were made"),
        ("run.optimizer.lr=1", "contradicts the trials that were made"),
        ("objective.metric=val/nll", "contradicts the trials that were made"),
        ("overrides=[]", "contradicts the trials that were made"),
        ("name=other", "Rename it: vaeorch rename OLD NEW"),
        ("trials=9", "Say how many more by --trials N."),
        ("seeds=9", "Say how many more by --seeds N."),
        ("run.epochs=9", "Say how many more by --epochs N."),
    ],
)
def test_what_contradicts_the_trials_is_refused_with_the_reason(setting, told):
    line = refusal(spec_of(trials=2), Wanted(trials=1, settings=(setting, "description=new")))
    assert line.startswith(f"--set {setting}: ") and told in line and "\n" not in line


def test_how_many_rows_train_on_is_said_with_their_epochs():
    assert "say for how many --epochs" in refusal(spec_of(trials=3), Wanted(trials=1, top=2))


def test_what_no_result_depends_on_may_be_set():
    settings = (
        "description=x",
        "budget.epochs=9",
        "resources.workers=2",
        "pictures_every=1",
        "evaluate={}",
        "paper=[]",
    )
    assert settings_of(Wanted(trials=1, settings=settings), spec_of(trials=2)) == [*settings, "trials=3"]


def test_nothing_to_add_is_a_mistake(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=2))
    with pytest.raises(UserError, match="nothing is to be added"):
        extended(tmp_path, plan, Wanted())


def test_seeds_wait_for_the_draws_that_a_budget_left(tmp_path):
    plan = finished(tmp_path, drawn(trials=6, budget={"epochs": 4}))
    with pytest.raises(UserError, match=r"the budget ended before \d+ trials were drawn"):
        extended(tmp_path, plan, Wanted(seeds=1), budget={"epochs": 99})


def test_epochs_need_a_trial_that_was_trained_in_full(tmp_path):
    high = {"optimizer.lr": {"grid": [0.5, 0.9]}}  # both diverge
    plan = finished(tmp_path, spec_of(high))
    with pytest.raises(UserError, match="no trial was trained in full"):
        extended(tmp_path, plan, Wanted(epochs=1))


def test_epochs_need_a_configuration_all_of_whose_seeds_were_trained_in_full(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=2, seeds=2))
    ends = [entry["status"] for entry in entries_of(opened(tmp_path, plan.spec))]
    assert ends.count("completed") == 1
    with pytest.raises(UserError, match="no configuration, with all of its seeds, was trained in full"):
        extended(tmp_path, plan, Wanted(epochs=1))


def test_listeners_are_told_that_a_trial_goes_on_and_of_its_last_end_alone(tmp_path):
    plan = finished(tmp_path, spec_of(LOW, trials=3))
    queue, _ = gone_on(tmp_path, plan, Wanted(epochs=2))
    [best] = [entry["id"] for entry in entries_of(queue) if "added_epochs" in entry]
    told = [(name, *values[:1]) for name, trial, *values in queue.state.take_news() if trial == best]
    ends = [event for event in told if event[0] == "trial_ended"]
    assert ends == [("trial_ended", "completed")] and told[-1] == ends[0]
    assert [event[1] for event in told if event[0] == "epoch"] == list(range(1, EPOCHS + 3))
