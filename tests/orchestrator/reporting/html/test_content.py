"""What is read from a sweep's folder: trials in the order of the leaderboard, and those that have not ended."""

import json
import math

import pytest

from orchestrator.reporting.html.content import NOT_ENDED, metrics_in, read_sweep
from orchestrator.sweep.ranking import ranked
from orchestrator.sweep.results import read_results
from tests.support.journals import journal_of
from tests.support.one_slot import LOW, RATES
from tests.support.sweep_folders import NAN, one, swept, written


@pytest.mark.parametrize("changes", [{"search": LOW, "trials": 7}, {"search": RATES, "seeds": 2}, {"trials": 9}])
def test_trials_stand_as_in_the_leaderboard_with_all_their_epochs(changes, tmp_path):
    sweep = read_sweep(swept(tmp_path / "sweep", **changes))
    results = read_results(tmp_path, "sweep")
    assert [trial.entry for trial in sweep.trials] == ranked(results)
    for trial in sweep.trials:
        assert [epoch for epoch, _ in trial.curve("val/elbo")] == list(range(1, trial.entry["epochs"] + 1))
        assert trial.hours == pytest.approx(len(trial.lines) / 100) or not trial.lines  # 36 s an epoch


def test_a_trial_that_has_not_ended_is_known_from_the_journal_and_its_own_folder(tmp_path):
    folder = swept(tmp_path / "sweep", 14, search=LOW, trials=9)
    assert not (folder / "results.json").exists()
    sweep = read_sweep(folder)
    begun = [event["trial"] for event in journal_of(folder) if event["event"] == "began"]
    assert sorted(trial.id for trial in sweep.trials) == sorted(begun) and len(begun) > 1
    ended = {event["trial"] for event in journal_of(folder) if event["event"] == "ended"}
    assert 0 < len(ended) < len(begun)
    for trial in sweep.trials:
        own = [value for _, value in trial.curve("val/elbo")]
        config = json.loads((trial.folder / "config.json").read_text())
        assert (trial.entry["status"] == NOT_ENDED) == (trial.id not in ended)
        assert (trial.config, trial.entry["seed"]) == (config["config"], config["seed"])
        assert trial.entry["epochs"] == len(own)
        assert sweep.value(trial) == max(own) if own else math.isnan(sweep.value(trial))


def test_trials_that_have_ended_are_not_named_twice_while_others_run(tmp_path):
    folder = swept(tmp_path / "sweep", search=LOW, trials=4)
    results = json.loads((folder / "results.json").read_text())
    results["trials"] = results["trials"][1:]
    (folder / "results.json").write_text(json.dumps(results))
    sweep = read_sweep(folder)
    assert sorted(trial.id for trial in sweep.trials) == ["0001", "0002", "0003", "0004"]
    assert [trial.id for trial in sweep.unfinished] == ["0001"]


def test_lines_that_cannot_be_read_are_left_out(tmp_path):
    folder = written(tmp_path / "sweep", [one([1.0, NAN, 3.0])])
    file = folder / "trials" / "0001" / "metrics.jsonl"
    file.write_text('nonsense\n[1]\n{"epoch": "x"}\n' + file.read_text() + '{"epoch": 4, "m": 9')
    [trial] = read_sweep(folder).trials
    assert [epoch for epoch, _ in trial.curve("m")] == [1, 2, 3]
    assert math.isnan(trial.curve("m")[1][1])


def test_a_trial_whose_metrics_are_lost_keeps_its_entry(tmp_path):
    folder = written(tmp_path / "sweep", [one([1.0, 2.0])])
    (folder / "trials" / "0001" / "metrics.jsonl").unlink()
    sweep = read_sweep(folder)
    assert sweep.value(sweep.trials[0]) == 2.0 and math.isnan(sweep.trials[0].hours)


def test_the_objective_comes_first_then_metrics_of_the_validation_rows(tmp_path):
    folder = written(tmp_path / "sweep", [one([1.0])])
    line = {"epoch": 1, "images": 9, "seconds": 1.0, "train/loss": 1.0, "val/mse": 1.0, "m": 1.0, "val/kl": 1.0}
    (folder / "trials" / "0001" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert metrics_in(read_sweep(folder)) == ["m", "val/kl", "val/mse", "train/loss"]


def test_only_trials_with_a_rank_have_colours(tmp_path):
    trials = [one([float(n)]) for n in range(4)] + [one([99.0], status="failed"), one([NAN])]
    assert read_sweep(written(tmp_path / "sweep", trials)).colors == {
        "0004": "c0", "0003": "c1", "0002": "c2", "0001": "c3",
    }  # fmt: skip
