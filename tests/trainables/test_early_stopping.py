"""A training ends once its metric has not improved for some epochs, wherever it was broken off before."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support.small_runs import a_run
from trainables.data import Facts
from trainables.run import EarlyStopping, Run
from trainables.train import train

EPOCHS = 30
FAST = {"optimizer": {"lr": 0.03}}  # so that losses rise again


def last_epoch(values: list[float], patience: int, least: int) -> int | None:
    """The epoch after which a training ends, counting the epochs that pass without a lower value."""
    lowest, waited = math.inf, 0
    for epoch, value in enumerate(values, start=1):
        waited = 0 if value < lowest else waited + 1
        lowest = min(lowest, value) if not math.isnan(value) else lowest
        if waited >= patience and epoch >= least:
            return epoch
    return None


@given(
    some.lists(some.integers(0, 9) | some.just(math.nan) | some.just(math.inf)),
    some.integers(1, 5),
    some.integers(0, 9),
)
def test_a_training_ends_when_so_many_epochs_were_no_better(values, patience, least):
    for better, sign in (("val/loss", 1), ("val/elbo", -1)):
        rule = EarlyStopping(metric=better, patience=patience, min_epochs=least)
        ends = [rule.is_over([sign * value for value in values[:epoch]]) for epoch in range(1, len(values) + 1)]
        found = ends.index(True) + 1 if True in ends else None
        assert found == last_epoch(values, patience, least)


@pytest.mark.parametrize(("patience", "least"), [(1, 0), (2, 0), (1, 9)])
def test_the_loop_ends_there_with_the_numbers_of_a_longer_one(patience, least):
    whole = [report.metrics for report in train(a_run(epochs=EPOCHS, **FAST))]
    end = last_epoch([metrics["val/loss"] for metrics in whole], patience, least)
    assert end and end < EPOCHS
    stopping = {"patience": patience, "min_epochs": least}
    found = [report.metrics for report in train(a_run(epochs=EPOCHS, early_stopping=stopping, **FAST))]
    assert found == whole[:end]


def test_a_training_that_is_resumed_ends_at_the_same_epoch(tmp_path):
    run = a_run(epochs=EPOCHS, early_stopping={"patience": 2}, **FAST)
    whole = []
    for report in train(run):
        report.save(tmp_path / f"{report.epoch}.pt")
        whole.append(report.metrics)
    assert 2 < len(whole) < EPOCHS
    for epoch in range(1, len(whole) + 1):
        assert [report.metrics for report in train(run, resume=tmp_path / f"{epoch}.pt")] == whole[epoch:]


@pytest.mark.parametrize(
    ("stopping", "place", "text"),
    [
        (
            {"metric": "val/los"},
            "early_stopping.metric",
            "'val/los' is no metric of every epoch. Take one of train/loss",
        ),
        ({"metric": "val/active"}, "early_stopping.mode", "is missing: val/active is better neither high nor low"),
        ({"metric": "val/elbo", "mode": "min"}, "early_stopping.mode", "val/elbo is better the other way."),
        ({"metric": "val/elbo", "mode": "max"}, None, None),
        ({"metric": "val/active", "mode": "min"}, None, None),
    ],
)
def test_a_metric_that_cannot_end_a_training_is_a_mistake(stopping, place, text):
    found = list(a_run(early_stopping=stopping).mistakes(Facts((1, 8, 8), (0.0, 1.0), 300, 100)))
    assert len(found) == (place is not None)
    assert all((where, said.startswith(text)) == (place, True) for where, said in found)


def test_runs_without_it_are_written_as_before():
    assert "early_stopping" not in a_run().model_dump(mode="json")
    run = a_run(early_stopping={"patience": 3})
    assert Run.model_validate(run.model_dump(mode="json")) == run
