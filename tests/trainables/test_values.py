"""The table of values: each number that an evaluation gives has a label, a unit and a direction there."""

import pytest

from trainables.evaluations import EVALUATIONS
from trainables.values import KINDS, unknown_value, value_named


def examples() -> list[str]:
    """A name for each pattern that an evaluation gives."""
    return [pattern.replace("[1-9]*", "100") for record in EVALUATIONS for pattern in record.gives]


@pytest.mark.parametrize("name", examples())
def test_each_value_that_an_evaluation_gives_is_in_the_table(name):
    value = value_named(name)
    assert value.kind in KINDS.values()
    assert value.evaluation in {record.model_fields["name"].default for record in EVALUATIONS}


def test_each_entry_of_the_table_is_of_a_value_that_an_evaluation_gives():
    assert {id(value_named(name).kind) for name in examples()} == {id(kind) for kind in KINDS.values()}


def test_a_value_says_its_features_and_axes():
    value = value_named("frechet_pixels_ard_relevant")
    assert (value.evaluation, value.features, value.axes) == ("frechet_ard", "pixels", "relevant")
    assert value.label == "FID, ARD-VAE's, pixels, relevant axes" and value.kind.better == "min"
    assert value_named("precision_classifier").label == "Precision, classifier"


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("fid_intel", ["frechet_classifier_intel", "frechet_pixels_intel"]),
        ("fid_ard_all", ["frechet_classifier_ard_all", "frechet_pixels_ard_all"]),
        ("recall_relevant", ["recall_classifier_relevant", "recall_pixels_relevant"]),
        ("frechet_pixels", []),
        ("hoyer", []),
    ],
)
def test_what_stands_in_for_inceptions_features_is_the_same_in_others(name, others):
    assert list(value_named(name).stand_ins()) == others


def test_an_unknown_name_is_told_with_the_nearest():
    assert unknown_value("fid_adr") == "no evaluation measures 'fid_adr'. Did you mean 'fid_ard'?"
    assert unknown_value("svm_clean") == "" and value_named("fid2") is None
