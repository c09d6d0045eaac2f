"""Optimizers: each algorithm's first steps by hand, and learning rates that follow a schedule."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.support.small_runs import a_run
from trainables.run import Optimizer
from trainables.train import Training, train

GRADIENTS = [3.0, 1.0, -0.5, 0.1, 0.2, 0.1]
LR, BETA1, BETA2, EPS = 0.1, 0.6, 0.8, 1e-3


def path(**changes):
    """Where one parameter that starts from 0 is after each of the gradients, in float64."""
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    settings = {"lr": LR, "beta1": BETA1, "beta2": BETA2, "eps": EPS} | changes
    optimizer = Optimizer.model_validate(settings).build([parameter])
    places = []
    for gradient in GRADIENTS:
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        places.append(parameter.item())
    return places


def adam_by_hand(amsgrad):
    """Kingma & Ba 2015; Reddi et al. 2018: the largest second moment so far."""
    place, first, second, largest, places = 0.0, 0.0, 0.0, 0.0, []
    for step, gradient in enumerate(GRADIENTS, 1):
        first = BETA1 * first + (1 - BETA1) * gradient
        second = BETA2 * second + (1 - BETA2) * gradient**2
        largest = max(largest, second) if amsgrad else second
        root = math.sqrt(largest / (1 - BETA2**step))
        place -= LR * first / (1 - BETA1**step) / (root + EPS)
        places.append(place)
    return places


def rmsprop_by_hand():
    """Tieleman & Hinton 2012, without momentum."""
    place, square, places = 0.0, 0.0, []
    for gradient in GRADIENTS:
        square = BETA2 * square + (1 - BETA2) * gradient**2
        place -= LR * gradient / (math.sqrt(square) + EPS)
        places.append(place)
    return places


def test_each_algorithm_takes_the_textbooks_steps():
    np.testing.assert_allclose(path(), adam_by_hand(amsgrad=False), rtol=1e-12)
    np.testing.assert_allclose(path(algorithm="amsgrad"), adam_by_hand(amsgrad=True), rtol=1e-12)
    np.testing.assert_allclose(path(algorithm="rmsprop"), rmsprop_by_hand(), rtol=1e-12)


def test_amsgrad_leaves_adam_once_gradients_shrink_and_then_takes_shorter_steps():
    adam, amsgrad = np.array(path()), np.array(path(algorithm="amsgrad"))
    assert amsgrad[0] == adam[0]
    assert (np.abs(np.diff(amsgrad)) <= np.abs(np.diff(adam)) + 1e-15).all()
    assert abs(np.diff(amsgrad)[-1]) < 0.9 * abs(np.diff(adam)[-1])


@pytest.mark.parametrize("algorithm", ["adam", "amsgrad", "rmsprop"])
def test_a_phases_scale_multiplies_the_learning_rate(algorithm):
    optimizer = Optimizer(algorithm=algorithm, lr=0.01).build([torch.nn.Parameter(torch.zeros(1))], lr_scale=0.2)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.002)


def rates_of(reports):
    """Phase -> the learning rate in force after each report."""
    found = [{name: o.param_groups[0]["lr"] for name, o in report.training.optimizers.items()} for report in reports]
    return {name: [rates[name] for rates in found] for name in found[0]}


def test_a_schedule_changes_the_rate_after_the_epochs_that_it_names():
    """WAE's: halved after 30 epochs, divided by 5 after 50."""
    training = Training(a_run(optimizer={"lr": 1e-3, "schedule": [[30, 0.5], [50, 0.2]]}))
    rates = []
    for epoch in range(80):
        rates.append(training.optimizers["all"].param_groups[0]["lr"])
        training.epoch = epoch + 1
        training.schedule(1.0)
    assert rates == pytest.approx([1e-3] * 30 + [5e-4] * 20 + [1e-4] * 30, rel=1e-12)


def test_a_schedule_holds_for_every_phase():
    method = {"name": "vimae", "pretraining_steps": 5}
    run = a_run(method=method, epochs=3, optimizer={"lr": 1e-3, "schedule": [[1, 0.5], [2, 0.2]]})
    rates = rates_of(train(run))
    assert set(rates) == {"all", "pretrain"}
    assert all(found == pytest.approx([5e-4, 1e-4, 1e-4]) for found in rates.values())


@pytest.mark.parametrize("algorithm", ["adam", "amsgrad", "rmsprop"])
def test_resume_keeps_the_scheduled_rate_and_the_optimizers_memory(algorithm, tmp_path):
    optimizer = {"algorithm": algorithm, "schedule": [[1, 0.5], [3, 0.1]]}
    run = a_run(epochs=4, optimizer=optimizer)
    for report in train(run):
        if report.epoch == 2:
            report.save(tmp_path / "checkpoint.pt")
    resumed = list(train(run, resume=tmp_path / "checkpoint.pt"))
    assert resumed[-1].metrics == report.metrics
    assert rates_of([report]) == rates_of(resumed[-1:]) == {"all": [pytest.approx(5e-5)]}


def test_schedules_change_the_numbers_of_the_epochs_after_them_only():
    steady = [report.metrics for report in train(a_run(epochs=3))]
    changed = [report.metrics for report in train(a_run(epochs=3, optimizer={"schedule": [[2, 0.1]]}))]
    assert changed[:2] == steady[:2]
    assert changed[2] != steady[2]


def test_schedule_and_plateau_multiply():
    training = Training(a_run(optimizer={"lr": 1.0, "schedule": [[3, 0.1]], "plateau": {"patience": 2}}))
    rates = []
    for epoch in range(1, 6):
        training.epoch = epoch
        training.schedule(1.0)
        rates.append(training.optimizers["all"].param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 1.0, 0.05, 0.05, 0.025])


@pytest.mark.parametrize("schedule", [[[0, 0.5]], [[30, 0.0]], [[30]], [[30, 0.5, 1]], [["30", 0.5]], 30])
def test_a_schedule_that_makes_no_sense_is_refused(schedule):
    with pytest.raises(ValidationError):
        Optimizer.model_validate({"schedule": schedule})
