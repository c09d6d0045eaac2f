"""Axes: where values lie, and ticks at round numbers."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.reporting.html.axes import Labels, Numbers, axis_of, objective_axis

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_shares_are_those_of_the_values_or_of_their_logarithms():
    assert Numbers(2.0, 6.0).share(3.0) == 0.25
    assert Numbers(1e-4, 1.0, log=True).share(1e-3) == pytest.approx(0.25)
    assert Numbers(0, 1).share(-5) == 0 and Numbers(0, 1).share(7) == 1
    assert [Numbers(0, 1).share(value) for value in (math.nan, math.inf, None, "1", True)] == [None] * 5
    assert Numbers(1, 10, log=True).share(0) is None
    assert Labels(("a", "b")).share("b") == 0.75 and Labels(("a",)).share("b") is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, ["0", "2", "4", "6", "8", "10"]),
        (-181.04, -180.43, ["-181", "-180.9", "-180.8", "-180.7", "-180.6", "-180.5"]),
        (0.013, 0.0141, ["0.013", "0.0132", "0.0134", "0.0136", "0.0138", "0.014"]),
    ],
)
def test_ticks_are_round_numbers_that_differ(low, high, expected):
    assert [tick.text for tick in Numbers(low, high).ticks()] == expected


@given(FINITE, FINITE)
def test_ticks_lie_on_the_axis_in_order_and_are_few(one, other):
    low, high = sorted((one, other))
    if abs(low) > 1e300 or abs(high) > 1e300:
        return
    shares = [tick.share for tick in Numbers(low, high).ticks()]
    assert shares == sorted(shares)
    assert len(shares) <= 21 and all(0 <= share <= 1 for share in shares)


def test_ticks_of_logarithms_are_powers_of_ten_or_a_few_between():
    assert [tick.text for tick in Numbers(1e-4, 1.0, log=True).ticks()] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    texts = [tick.text for tick in Numbers(0.05, 5.0, log=True).ticks()]
    assert [Decimal(text) for text in texts] == [Decimal(text) for text in ("0.1", "0.3", "1", "3")]


def test_a_hyper_parameter_has_an_axis_of_its_kind():
    assert axis_of([0.1, 0.5, 0.7]) == Numbers(0.1, 0.7, False, (0.1, 0.5, 0.7))
    assert axis_of([2, 4, 8, 16]) == Numbers(2, 16, True, (2, 4, 8, 16))
    assert axis_of([0, 100]) == Numbers(0, 100, False, (0, 100))
    assert axis_of([n / 100 for n in range(1, 101)]) == Numbers(0.01, 1.0, True)
    assert axis_of(["b", "a", "b", None]) == Labels(("b", "a", "none"))
    assert axis_of([1, True]) == Labels(("1", "True"))


def test_the_objectives_axis_ends_twice_as_far_from_the_best_as_the_worst_quarter_begins():
    values = [-1e6, -5.0, -2.0, -1.0, 0.0]
    assert objective_axis(values, 1.0) == Numbers(-10.0, 0.0)
    assert objective_axis([-value for value in values], -1.0) == Numbers(0.0, 10.0)
    assert objective_axis(values, 0.0) == Numbers(-1e6, 0.0)  # neither is better: nothing is cut
    assert objective_axis([1.0, math.nan, 2.0, math.inf], 1.0) == Numbers(1.0, 2.0)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [3.0, 3.0], [5e-324, 5e-324]])
def test_an_axis_has_two_ends_however_few_the_values(values):
    axis = objective_axis(values, 1.0)
    assert axis.low < axis.high and axis.ticks()
