"""Who is ahead: trials by value, configurations by the mean of their seeds, and how both are shown."""

import csv
import io
import math
import statistics

import numpy as np
import pytest

from orchestrator.reporting.leaderboard import as_csv, as_markdown, as_table, misfortunes
from orchestrator.sweep.ranking import averaged, best_summary, chosen_by, configurations, ranked, replicated

VALUES = {  # configuration -> (status, best objective) of each seed
    1: [("completed", -30.0), ("completed", -20.0), ("stopped", -25.0)],
    2: [("completed", -10.0), ("diverged", -1.0), ("completed", -12.0)],
    3: [("completed", -21.0), ("completed", -22.0), ("completed", -24.0)],
    4: [("failed", None), ("failed", None), ("diverged", None)],
    5: [("stopped", None), ("completed", -26.0), ("stopped", None)],
}


def results_of(values=VALUES, mode="max"):
    trials = []
    for configuration, seeds in values.items():
        for seed, (status, value) in enumerate(seeds):
            best = {} if value is None else {"epoch": 2 + seed, "val/elbo": value, "val/kl": float(seed)}
            known = {"id": f"{len(trials) + 1:04d}", "configuration": configuration, "seed": seed, "reason": None}
            trials.append(known | {"config": {"lr": configuration}, "status": status, "epochs": 3, "best": best})
    return {"name": "a", "objective": {"metric": "val/elbo", "mode": mode}, "trials": trials}


def test_configurations_rank_by_their_mean_and_one_with_a_bad_seed_ranks_below():
    standings = configurations(results_of())
    assert [one["configuration"] for one in standings] == [3, 1, 5, 2, 4]
    assert [one["n"] for one in standings] == [3, 3, 1, 2, 0]
    assert [one["epochs"] for one in standings] == [9] * 5
    assert standings[1]["statuses"] == {"completed": 2, "stopped": 1}


def test_a_minimum_ranks_upside_down():
    assert [one["configuration"] for one in configurations(results_of(mode="min"))] == [5, 1, 3, 2, 4]


def test_mean_and_deviation_are_those_of_the_population():
    first, second, single, *_, none = configurations(results_of())
    assert (first["mean"], first["std"]) == pytest.approx((np.mean([21, 22, 24]) * -1, np.std([21, 22, 24])))
    assert second["std"] == pytest.approx(statistics.pstdev([-30, -20, -25]))
    assert (single["mean"], single["std"]) == (-26.0, None)
    assert (none["mean"], none["std"]) == (None, None)


def test_trials_stand_configuration_by_configuration_the_best_seed_first():
    names = [trial["id"] for trial in ranked(results_of())]
    assert names[:6] == ["0007", "0008", "0009", "0002", "0003", "0001"]
    assert sorted(names) == [f"{number:04d}" for number in range(1, 16)]


def test_trials_that_broke_stand_below_all_others_and_equal_ones_by_id():
    values = {1: [("failed", -1.0)], 2: [("completed", -5.0)], 3: [("stopped", None)], 4: [("completed", -5.0)]}
    results = results_of(values)
    for trials in (results["trials"], results["trials"][::-1]):
        names = [trial["id"] for trial in ranked(results | {"trials": trials})]
        assert names == ["0002", "0004", "0003", "0001"]


def test_a_confirmed_configuration_stands_first_though_a_seed_of_it_broke():
    results = results_of({1: [("completed", -1.0)], 2: [("completed", -9.0), ("diverged", None), ("completed", -8.0)]})
    for trial, stage in zip(results["trials"], ("search", "search", "confirm", "confirm"), strict=True):
        trial["stage"] = stage
    assert [(one["configuration"], one["confirmed"]) for one in configurations(results)] == [(2, True), (1, False)]


def test_a_metric_that_a_seed_has_not_is_not_in_the_means_of_the_champion():
    results = results_of({1: [("completed", -1.0), ("completed", -3.0)]})
    results["trials"][1]["best"]["val/kl"] = None
    metrics, _ = best_summary(results)
    assert metrics["val/elbo"] == -2.0 and "val/kl" not in metrics


def test_the_champion_of_several_seeds_is_the_best_mean_of_every_metric():
    metrics, tags = best_summary(results_of())
    assert tags == {"best_configuration": "3", "best_trial": "0007"}
    assert metrics.pop("val/elbo_std") == pytest.approx(np.std([21, 22, 24]))
    assert metrics == pytest.approx({"epoch": 3.0, "val/elbo": -67 / 3, "val/kl": 1.0, "val/elbo_n": 3.0})


def test_the_champion_of_one_seed_is_a_trial_that_ended_well():
    values = {1: [("completed", -30.0)], 2: [("diverged", -1.0)], 3: [("stopped", -20.0)]}
    metrics, tags = best_summary(results_of(values))
    assert not replicated(results_of(values))
    assert (metrics["val/elbo"], tags) == (-20.0, {"best_trial": "0003"})


def test_without_a_finite_objective_there_is_no_champion():
    assert best_summary(results_of({1: [("diverged", None), ("stopped", None)]})) == ({}, {})
    assert best_summary(results_of({1: [("failed", None)]})) == ({}, {})


def test_equal_means_rank_by_number():
    values = {2: [("completed", 1.0), ("completed", 3.0)], 1: [("completed", 2.0), ("completed", 2.0)]}
    assert [one["configuration"] for one in configurations(results_of(values))] == [1, 2]


def confirmed(values, again):
    """Results of a search, and of the stage that confirmed some of its configurations."""
    results = results_of(values)
    later = results_of(again)["trials"]
    for number, trial in enumerate(later, start=len(results["trials"]) + 1):
        trial |= {"id": f"{number:04d}", "stage": "confirm", "seed": trial["seed"] + 10}
    return results | {"trials": results["trials"] + later}


SEARCHED = {1: [("completed", -10.0)], 2: [("stopped", -11.0)], 3: [("completed", -12.0)], 4: [("completed", -9.0)]}
AGAIN = {
    1: [("completed", -14.0), ("completed", -16.0)],
    2: [("completed", -13.0), ("completed", -12.0)],
    4: [("diverged", None), ("diverged", None)],
}


def test_what_was_confirmed_ranks_above_the_rest_by_those_trials_alone():
    standings = configurations(confirmed(SEARCHED, AGAIN))
    assert [(one["configuration"], one["confirmed"]) for one in standings] == [
        (2, True),
        (1, True),
        (3, False),
        (4, True),  # nothing of it was confirmed
    ]
    assert [(one["mean"], one["std"], one["n"]) for one in standings[:2]] == [(-12.5, 0.5, 2), (-15.0, 1.0, 2)]
    assert standings[0]["trials"] == ["0008", "0007", "0002"]
    assert standings[0]["statuses"] == {"completed": 2}


def test_the_champion_of_a_confirmed_search_is_the_best_confirmed_mean():
    metrics, tags = best_summary(confirmed(SEARCHED, AGAIN))
    assert tags == {"best_configuration": "2", "best_trial": "0008"}
    assert (metrics["val/elbo"], metrics["val/elbo_std"], metrics["val/elbo_n"]) == (-12.5, 0.5, 2.0)


def test_the_leaderboard_says_what_was_confirmed():
    rows = list(csv.DictReader(io.StringIO(as_csv(confirmed(SEARCHED, AGAIN)))))
    assert [(row["configuration"], row["status"]) for row in rows[:3]] == [
        ("2", "2 completed (confirmed)"),
        ("1", "2 completed (confirmed)"),
        ("3", "1 completed"),
    ]


def test_the_leaderboard_of_several_seeds_has_a_row_for_each_configuration():
    rows = list(csv.DictReader(io.StringIO(as_csv(results_of()))))
    assert list(rows[0]) == ["rank", "configuration", "mean val/elbo", "std", "n", "status", "lr"]
    assert [row["configuration"] for row in rows] == ["3", "1", "5", "2", "4"]
    assert float(rows[0]["mean val/elbo"]) == -67 / 3 and math.isnan(float(rows[2]["std"]))
    assert as_markdown(results_of()).splitlines()[4] == "| 3 | 5 | -26 | - | 1 | 1 completed, 2 stopped | 5 |"
    assert as_table(results_of(), 80).splitlines()[0] == "a: 15 trials of 5 configurations by their mean val/elbo"


def test_the_leaderboard_of_one_seed_has_a_row_for_each_trial():
    values = {1: [("completed", -30.0)], 2: [("completed", -20.0)]}
    assert as_csv(results_of(values)).splitlines() == [
        "rank,trial,val/elbo,epochs,status,lr",
        "1,0002,-20.0,3,completed,2",
        "2,0001,-30.0,3,completed,1",
    ]
    assert as_table(results_of(values), 80).splitlines()[0] == "a: 2 trials by val/elbo"


@pytest.mark.parametrize("values", [VALUES, {1: [("completed", -30.0)], 2: [("stopped", -20.0)]}])
def test_the_table_tells_what_varies_in_a_narrow_terminal(values):
    text = as_table(results_of(values), 80)
    assert all(f"lr={configuration}" in text for configuration in values)
    assert max(map(len, text.splitlines())) <= 80


def test_a_sweep_of_which_nothing_that_confirms_has_a_value_has_no_result():
    again = {1: [("failed", None)], 2: [("stopped", None)], 3: [("diverged", None)], 4: [("failed", None)]}
    results = confirmed(SEARCHED, again)
    assert best_summary(results) == ({}, {})
    first, *reasons = misfortunes(results)
    assert first == "a: no trial that confirms has a finite val/elbo." and len(reasons) == 3  # a line per status
    assert best_summary(confirmed(SEARCHED, {1: again[1]}))[1]["best_trial"] == "0004"  # others need no confirming


def test_trials_that_chose_their_configuration_and_broken_ones_are_in_no_mean():
    results = confirmed(SEARCHED, AGAIN)
    assert chosen_by(results) == {"0001", "0002", "0004"}
    assert averaged(results) == {"0003", "0005", "0006", "0007", "0008"}
    assert averaged(results_of({1: [("completed", 1.0)], 2: [("completed", 2.0)]})) == set()  # one seed
