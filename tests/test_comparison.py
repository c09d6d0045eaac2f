"""Findings side by side: what stands in a row was made in the same way."""

import csv
import io
import json
import math
import statistics

import pytest

from orchestrator.comparison import FORMATS, SIDE_BY_SIDE, Measured, as_table, compare, grid, notes

PROVENANCE = {
    "extractor": "classifier",
    "extractor_hash": "ab" * 32,
    "counts": [["generated", 100], ["real", 100]],
    "split": "test",
    "mapping": "rounded",
    "seed": 0,
    "settings": [],
    "data": "mnist",
}


def finding(metric="frechet", undefined="", values=None, **changes):
    values = {} if undefined else {"frechet_classifier": 2.5} if values is None else values
    provenance = None if undefined else PROVENANCE | changes
    return {"metric": metric, "values": values, "provenance": provenance, "undefined": undefined}


def _plain(value):
    return tuple(map(tuple, value)) if isinstance(value, list) else value


def test_a_row_holds_a_value_of_all_models_and_a_note_says_how_it_was_made():
    one, other = Measured("a", "a", [finding()]), Measured("b", "b", [finding(values={"frechet_classifier": 4.0})])
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
    found = compare([Measured("a", "a", [finding(), mig]), Measured("b", "b", [finding(**changes), mig])])
    assert list(found.rows) == ["mig"]
    [line] = [line for line in notes(found) if "not compared" in line]
    [(name, value)] = changes.items()
    assert line.startswith(f"frechet: not compared: a and b differ in {name}: ")
    assert repr(_plain(PROVENANCE[name])) in line and repr(_plain(value)) in line


def test_what_is_undefined_is_told_once_with_its_reason_and_does_not_count_as_another_way():
    none = finding(undefined="these data have no labels.")
    found = compare([Measured("a", "a", [finding()]), Measured("b", "b", [none]), Measured("c", "c", [none])])
    assert grid(found) == [["", "a", "b", "c"], ["frechet_classifier", "2.5", "", ""]]
    assert notes(found)[1:] == ["frechet: none for b, c: these data have no labels."]


def test_several_seeds_of_a_configuration_are_their_mean_and_deviation():
    numbers = [1.0, 2.0, 4.0]
    models = [Measured("#1", f"{n}", [finding(values={"mse": value})]) for n, value in enumerate(numbers)]
    [_, [_, cell]] = grid(compare(models))
    assert cell == f"{statistics.fmean(numbers):.4g} ± {statistics.pstdev(numbers):.4g} (3)"


def test_few_models_stand_side_by_side_and_many_below_each_other():
    models = [Measured(str(n), str(n), [finding()]) for n in range(SIDE_BY_SIDE + 1)]
    assert len(grid(compare(models[:-1]))) == 2
    assert grid(compare(models)) == [["", "frechet_classifier"], *[[str(n), "2.5"] for n in range(SIDE_BY_SIDE + 1)]]
    assert as_table(compare(models)).row_count == SIDE_BY_SIDE + 1


def test_a_value_that_is_not_finite_is_shown_as_such():
    found = compare([Measured("a", "a", [finding(values={"mse": None})])])
    assert grid(found)[1] == ["mse", "-"]
    assert json.loads(FORMATS["json"](found))["values"] == {"mse": {"a": [None]}}


def test_programs_get_every_number_in_full():
    found = compare([Measured("a", "a", [finding(values={"mse": 1 / 3})])])
    row = list(csv.reader(io.StringIO(FORMATS["csv"](found))))[1]
    assert row[:4] == ["a", "mse", repr(1 / 3), "frechet"] and row[4].startswith("classifier abababab; 100 generated")
    assert math.isclose(json.loads(FORMATS["json"](found))["values"]["mse"]["a"][0], 1 / 3, rel_tol=0)
    assert "| mse | 0.3333 |" in FORMATS["markdown"](found) and "- frechet: classifier" in FORMATS["markdown"](found)
