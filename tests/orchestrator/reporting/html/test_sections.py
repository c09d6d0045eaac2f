"""The figures and the head of the page: a mark for each trial, in its place."""

import re

import pytest

from orchestrator.reporting.html import curves, parallel, summary
from orchestrator.reporting.html.content import read_sweep
from orchestrator.reporting.html.markup import joined
from tests.support.one_slot import RATES
from tests.support.sweep_folders import NAN, one, swept, written

MARK = re.compile(r'<(?:path|g)(?: d="([^"]*)")? class="trial ?([^"]*)" data-trial="([^"]*)" data-tip="([^"]*)"')
POINT = re.compile(r"(-?[\d.]+) (-?[\d.]+)")


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in POINT.findall(path)]


def of(folder, trials, **spec):
    return read_sweep(written(folder, trials, **spec))


def test_a_line_passes_each_axis_at_the_value_of_its_trial(tmp_path):
    configs = [{"a": 0.0, "kind": "x"}, {"a": 1.0, "kind": "y"}, {"a": 0.25, "kind": "x"}]
    sweep = of(tmp_path / "sweep", [one([float(n)], config) for n, config in enumerate(configs)])
    lines = {trial: points(path) for path, _, trial, _ in MARK.findall(parallel.section(sweep).body)}
    low, high = (lines[trial][0][1] for trial in ("0001", "0002"))
    assert lines["0003"][0][1] == pytest.approx(low + 0.25 * (high - low), abs=0.1)
    assert lines["0001"][1] == lines["0003"][1] != lines["0002"][1]  # the kinds
    assert lines["0003"][2][1] < lines["0002"][2][1] < lines["0001"][2][1]  # the objectives, the best on top
    assert len({tuple(x for x, _ in own) for own in lines.values()}) == 1


def test_a_trial_without_a_value_passes_below_the_axis_and_without_an_objective_is_dashed(tmp_path):
    sweep = of(tmp_path / "sweep", [one([1.0], {"a": 0.0}), one([NAN], {"b": 2}), one([3.0], {"a": 1.0, "b": 1})])
    marks = {trial: (points(path), kind) for path, kind, trial, _ in MARK.findall(parallel.section(sweep).body)}
    below = parallel.HEIGHT - 10
    assert [y == below for _, y in marks["0001"][0]] == [False, True, False]
    assert [y == below for _, y in marks["0002"][0]] == [True, False, True]
    assert marks["0002"][1] == "line unranked" and marks["0003"][1] == "line q0"


def test_what_is_the_same_in_all_trials_has_no_axis(tmp_path):
    sweep = of(tmp_path / "sweep", [one([float(n)], {"a": n, "same": 5}) for n in range(3)])
    body = parallel.section(sweep).body
    assert ">a<" in body and "same" not in re.sub(r'data-tip="[^"]*"', "", body)
    assert parallel.section(of(tmp_path / "other", [one([1.0], {"same": 5}), one([2.0], {"same": 5})])) is None


def test_each_metric_has_a_figure_with_a_line_for_each_trial_that_has_it(tmp_path):
    sweep = of(tmp_path / "sweep", [one([1.0, 2.0]), one([3.0, NAN, 4.0]), one([])])
    figures = curves.section(sweep).body.split("<figure")[1:]
    assert [re.search(r'data-metric="([^"]*)"', figure)[1] for figure in figures] == ["m", "val/kl"]
    for figure in figures:
        assert [trial for _, _, trial, _ in MARK.findall(figure)] == ["0001", "0002"]  # the best last: on top
    assert ["c1" in kind for _, kind, *_ in MARK.findall(figures[0])] == [True, False]


def test_many_trials_are_thinned_and_pale(tmp_path):
    sweep = of(tmp_path / "sweep", [one([n + epoch / 200 for epoch in range(200)]) for n in range(100)])
    objective = curves.section(sweep).body.split("<figure")[1]
    assert '<g class="many">' in objective
    counts = [len(points(path)) for path, *_ in MARK.findall(objective)]
    assert len(counts) == 100 and max(counts) <= curves.POINTS / 100 + 4


def test_the_head_has_the_best_and_says_how_trials_ended(tmp_path):
    text = summary.head(of(tmp_path / "sweep", [one([0.123456]), one([9.0], status="failed")], description="a <b>"))
    assert "0.1235 (trial 0001)" in text and "2 (1 completed, 1 failed)" in text and "a &lt;b&gt;" in text


def test_the_head_of_several_seeds_has_their_mean_and_deviation(tmp_path):
    trials = [one([value], {"lr": 1}, configuration=1, seed=seed) for seed, value in enumerate((1.0, 3.0))]
    assert "2 ± 1 (configuration 1, 2 trials)" in summary.head(of(tmp_path / "sweep", trials))
    assert "3 trials)" in joined(summary.head(read_sweep(swept(tmp_path / "seeds", search=RATES, seeds=3))))


def test_the_head_of_a_sweep_without_an_objective_says_so(tmp_path):
    assert "<dd>none</dd>" in summary.head(of(tmp_path / "sweep", [one([NAN])]))
