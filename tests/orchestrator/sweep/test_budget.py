"""The budget: what an epoch takes, and when it is used up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.sweep.budget import UNLIMITED, BudgetMeter


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_an_epoch_takes_its_share_of_the_limits_that_there_are():
    clock = Clock()
    budget = BudgetMeter({"hours": 5.0, "gpu_hours": 7.0, "epochs": 9}, gpus=0.5, clock=clock)
    clock.now += 1800
    assert budget.price(seconds=720.0) == {"epochs": 1, "hours": 0.5, "gpu_hours": 0.1}
    assert BudgetMeter({"epochs": 9}, gpus=4, clock=clock).price(720.0) == {"epochs": 1}


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e4), max_size=20))
def test_hours_are_those_of_the_sweep_however_many_trials_run(pauses):
    clock = Clock()
    budget = BudgetMeter({"hours": 1.0}, gpus=0, clock=clock)
    for pause in pauses:
        clock.now += pause
        budget.pay(budget.price(seconds=123.0))
    assert budget.spent["hours"] == pytest.approx(sum(pauses) / 3600, abs=1e-9)
    assert (budget.empty is not None) == (budget.spent["hours"] >= 1.0)


def test_dollars_are_hours_times_what_the_machines_cost_at_the_time():
    clock, rates = Clock(), iter([2.0, 5.0])
    budget = BudgetMeter({"usd": 2.0}, gpus=0, usd_per_hour=lambda: next(rates), clock=clock)
    for seconds, spent in ((1800, 1.0), (720, 2.0)):
        clock.now += seconds
        budget.pay(budget.price(seconds=9.0))
        assert budget.spent["usd"] == pytest.approx(spent)
    assert budget.empty == "budget: 2 usd"


def test_dollars_are_never_used_up_on_a_machine_of_ones_own():
    clock = Clock()
    budget = BudgetMeter({"usd": 0.01}, gpus=1, clock=clock)
    clock.now += 1e9
    budget.pay(budget.price(seconds=1e9))
    assert budget.empty is None and budget.statement() == {"usd": {"limit": 0.01, "spent": 0.0}}


def test_the_time_between_two_processes_is_not_paid():
    clock = Clock()
    first = BudgetMeter({"hours": 1.0}, gpus=0, clock=clock)
    clock.now += 600
    paid = first.price(0.0)
    clock.now += 10**6
    second = BudgetMeter({"hours": 1.0}, gpus=0, clock=clock)
    second.pay(paid)
    clock.now += 1200
    second.pay(second.price(0.0))
    assert second.spent["hours"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("limits", "epochs", "empty"),
    [
        ({"epochs": 3}, 2, None),
        ({"epochs": 3}, 3, "budget: 3 epochs"),
        ({"gpu_hours": 1.5}, 2, None),
        ({"gpu_hours": 1.5}, 3, "budget: 1.5 gpu hours"),
        ({"epochs": 4, "gpu_hours": 1.5}, 3, "budget: 1.5 gpu hours"),
    ],
)
def test_a_budget_is_empty_with_the_first_limit_that_is_reached(limits, epochs, empty):
    budget = BudgetMeter(limits, gpus=2)
    for _ in range(epochs):
        budget.pay(budget.price(seconds=900.0))
    assert budget.empty == empty


def test_without_limits_nothing_is_counted_and_there_is_no_end():
    UNLIMITED.pay(UNLIMITED.price(1e9))
    assert UNLIMITED.empty is None and UNLIMITED.statement() == {}
