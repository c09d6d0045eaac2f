"""The metrics `best/*` of runs that end more than once: one value at each step, and the last value last."""

import math
from collections import Counter

from orchestrator.tracking.spool import PARENT
from orchestrator.tracking.tracker import History
from tests.support.tracked_sweeps import client_of, runs_of, start, tracker_of

OBJECTIVE = "best/val/elbo"


def go_on(folder, uri, values: dict[int, float], status: str, trial: str = "completed") -> None:
    """The sweep trains these epochs of its trial, which ends, and ends itself."""
    tracker = tracker_of(folder, uri)
    start(tracker, folder)
    tracker.trial_started("0001", {}, "0001")
    for epoch, value in values.items():
        tracker.epoch("0001", epoch, {"val/elbo": value})
    best = max(values, key=values.get)
    known = {"val/elbo": values[best], "val/kl": float(best), "epoch": best}
    tracker.trial_ended("0001", trial, best={} if trial == "diverged" else known)
    tracker.sweep_ended(status, {} if trial == "diverged" else known)
    assert not tracker.close()


def history(uri, run: str, metric: str = OBJECTIVE) -> list[tuple[int, float]]:
    points = client_of(uri).get_metric_history(runs_of(uri)[run].info.run_id, metric)
    return sorted((point.step, point.value) for point in points)


def test_a_trial_that_is_extended_has_one_best_value_at_each_step(folder, uri):
    go_on(folder, uri, {1: -9.0, 2: -5.0, 3: -6.0}, "completed")
    go_on(folder, uri, {4: -4.0, 5: -8.0}, "completed")
    assert history(uri, "0001") == [(1, -9.0), (2, -5.0), (4, -4.0)]
    assert history(uri, "0001", "best/val/kl") == [(4, 2.0), (6, 4.0)]
    assert runs_of(uri)["0001"].data.metrics["best/epoch"] == 4


def test_a_trial_that_an_earlier_version_ended_has_one_best_value_at_each_step(folder, uri, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(History, "new_bests", lambda run, metrics: (dict(metrics), run.epoch + 1))
        go_on(folder, uri, {1: -9.0, 2: -5.0, 3: -6.0}, "completed")
    go_on(folder, uri, {4: -4.0, 5: -8.0}, "completed")
    assert history(uri, "0001") == [(1, -9.0), (2, -5.0), (4, -5.0), (6, -4.0)]


def test_a_sweep_that_is_interrupted_again_and_again_has_its_best_values_once_each(folder, uri):
    for epoch, value in enumerate([-9.0, -5.0, -5.0, -4.0], start=1):
        go_on(folder, uri, {epoch: value}, "aborted")
    assert history(uri, PARENT) == [(1, -9.0), (2, -5.0), (4, -4.0)]  # the third has an equal one
    for metric in ("best/val/kl", "best/epoch"):
        steps = Counter(step for step, _ in history(uri, PARENT, metric))
        assert max(steps.values()) == 1
        assert runs_of(uri)[PARENT].data.metrics[metric] == 4


def test_a_trial_that_diverges_after_all_has_no_best_value_in_the_end(folder, uri):
    go_on(folder, uri, {1: -9.0, 2: -5.0}, "completed")
    go_on(folder, uri, {3: -6.0}, "completed", trial="diverged")
    *before, (step, last) = history(uri, "0001")
    assert before == [(1, -9.0), (2, -5.0)] and step == 4 and math.isnan(last)
    assert math.isnan(runs_of(uri)["0001"].data.metrics[OBJECTIVE])
