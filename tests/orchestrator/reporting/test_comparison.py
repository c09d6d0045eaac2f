"""Findings side by side: what stands in a row was made in the same way."""

import csv
import io
import json
import math
import statistics
from dataclasses import replace

import pytest

from orchestrator.reporting.comparison import FORMATS, SIDE_BY_SIDE, as_table, compare, grid, notes
from tests.support.comparisons import PROVENANCE, finding, measured


def _plain(value):
    return tuple(map(tuple, value)) if isinstance(value, list) else value


def test_a_row_holds_a_value_of_all_models_and_a_note_says_how_it_was_made():
    one, other = measured("a", "a", [finding()]), measured("b", "b", [finding(values={"frechet_classifier": 4.0})])
    found = compare([one, other])
    assert grid(found) == [["", "a", "b"], ["frechet_classifier", "2.5", "4"]]
    [note] = notes(found)
    assert note.startswith(
        "frechet: classifier abababab; 100 generated + 100 real; split test of mnist; values rounded; seed 0"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"extractor": "pixels"},
        {"extractor_hash": "cd" * 32},
        {"counts": [["generated", 99], ["real", 100]]},
        {"split": "val"},
        {"mapping": "stretched"},
        {"seed": 1},
        {"settings": [["clusters", 10]]},
        {"data": "fashion_mnist"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_numbers_that_were_made_differently_are_refused_and_the_difference_is_told(changes):
    mig = finding("mig", values={"mig": 0.3})
    found = compare([measured("a", "a", [finding(), mig]), measured("b", "b", [finding(**changes), mig])])
    assert list(found.rows) == ["mig"]
    [line] = [line for line in notes(found) if "not compared" in line]
    [(name, value)] = changes.items()
    assert line.startswith(f"frechet: not compared: a and b differ in {name}: ")
    assert repr(_plain(PROVENANCE[name])) in line and repr(_plain(value)) in line


def test_values_that_only_some_models_have_are_judged_by_themselves():
    one = finding("rate", values={"rate": 9.0})
    other = finding("rate", values={"surrogate_rate": 70.0}, counts=[["rows", 500]])
    found = compare([measured("a", "a", [one]), measured("b", "b", [other])])
    assert grid(found) == [["", "a", "b"], ["rate", "9", ""], ["surrogate_rate", "", "70"]]
    assert [note.partition(": ")[0] for note in notes(found)] == ["rate (rate)", "rate (surrogate_rate)"]


def test_a_metric_of_many_values_is_refused_in_one_line():
    one, other = (finding("svm", values={"svm_clean": 0.9, "svm_noisy": 0.8}, seed=seed) for seed in (0, 1))
    found = compare([measured("a", "a", [one]), measured("b", "b", [other])])
    assert notes(found) == ["svm: not compared: a and b differ in seed: 0 and 1."]


def test_what_is_undefined_is_told_once_with_its_reason_and_does_not_count_as_another_way():
    none = finding(undefined="these data have no labels.")
    found = compare([measured("a", "a", [finding()]), measured("b", "b", [none]), measured("c", "c", [none])])
    assert grid(found) == [["", "a", "b", "c"], ["frechet_classifier", "2.5", "", ""]]
    assert notes(found)[1:] == ["frechet: none for b, c: these data have no labels."]


def test_several_seeds_of_a_configuration_are_their_mean_and_deviation():
    numbers = [1.0, 2.0, 4.0]
    models = [measured("#1", f"{n}", [finding(values={"mse": value})]) for n, value in enumerate(numbers)]
    [_, [_, cell]] = grid(compare(models))
    assert cell == f"{statistics.fmean(numbers):.4g} ± {statistics.pstdev(numbers):.4g} (3)"


def test_few_models_stand_side_by_side_and_many_below_each_other():
    models = [measured(str(n), str(n), [finding()]) for n in range(SIDE_BY_SIDE + 1)]
    assert len(grid(compare(models[:-1]))) == 2
    assert grid(compare(models)) == [["", "frechet_classifier"], *[[str(n), "2.5"] for n in range(SIDE_BY_SIDE + 1)]]
    assert len(as_table(compare(models), 80).splitlines()) == SIDE_BY_SIDE + 2


def test_pictures_are_told_by_their_folder():
    drawn = finding("traversals", values={}) | {"pictures": ["evaluations/abc/first.png", "evaluations/abc/mean.png"]}
    told = notes(compare([measured("a", "0001", [drawn])]))
    assert told == ["traversals: pictures of 0001 in /runs/0001/evaluations/abc"]
    counted = finding("attributes", values={"attributes_50": 0.8}) | {"tables": ["evaluations/abc/attributes.csv"]}
    assert notes(compare([measured("a", "0001", [counted])]))[1:] == [
        "attributes: tables of 0001 in /runs/0001/evaluations/abc"
    ]


def test_values_that_are_not_there_though_others_are_are_told_with_the_reason():
    partly = finding("proportion", values={"least_proportion": 0.1}) | {"lacking": "no proportion_of_zeros, as so."}
    models = [measured(name, name, [partly]) for name in ("a", "b")]
    assert notes(compare(models))[1:] == ["proportion: a, b: no proportion_of_zeros, as so."]


def test_one_metric_with_two_settings_has_a_row_for_each():
    """The names of the values tell them apart, so that their provenances need not be equal."""
    plain = finding("prd", values={"precision": 0.5})
    every = finding("prd", values={"precision_all": 0.6}, settings=[["axes", "all"]])
    found = compare([measured(name, name, [plain, every]) for name in ("a", "b")])
    assert grid(found) == [["", "a", "b"], ["precision", "0.5", "0.5"], ["precision_all", "0.6", "0.6"]]
    assert len(notes(found)) == 2 and "axes all" in notes(found)[1]


def test_a_value_that_is_not_finite_is_shown_as_such():
    found = compare([measured("a", "a", [finding(values={"mse": None})])])
    assert grid(found)[1] == ["mse", "-"]
    assert json.loads(FORMATS["json"](found))["values"]["mse"]["numbers"] == {"a": {"a": None}}


def test_programs_get_every_number_in_full():
    found = compare([measured("a", "0001", [finding(values={"mse": 1 / 3})])])
    row = list(csv.reader(io.StringIO(FORMATS["csv"](found))))[1]
    assert row[:5] == ["a", "0001", "mse", repr(1 / 3), "frechet"]
    assert row[5].startswith("classifier abababab; 100 generated")
    assert math.isclose(json.loads(FORMATS["json"](found))["values"]["mse"]["numbers"]["a"]["0001"], 1 / 3, rel_tol=0)
    assert "| mse | 0.3333 |" in FORMATS["markdown"](found) and "- frechet: classifier" in FORMATS["markdown"](found)


def test_metrics_that_do_not_apply_for_one_reason_share_a_line():
    none = [finding(metric, "these data have no factors.") for metric in ("factor_vae", "mig")]
    models = [measured(name, name, [finding(), *none]) for name in ("b", "a")]
    assert notes(compare(models))[1:] == ["factor_vae, mig: none for a, b: these data have no factors."]


def test_models_of_trials_that_broke_or_were_stopped_among_others_are_told():
    models = [
        replace(measured("#1", "0001", [finding()]), status="completed"),
        replace(measured("#1", "0002", [finding()]), status="stopped"),
        replace(measured("0003", "0003", [finding()]), status="diverged"),
        replace(measured("0004", "0004", [finding()]), status="stopped"),
    ]
    assert notes(compare(models))[1:] == [
        "0003: diverged: its numbers are of an epoch before that",
        "#1: a mean with trainings that were stopped early: 0002",
    ]
