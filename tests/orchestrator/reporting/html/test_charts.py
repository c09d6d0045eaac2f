"""Charts: lines through their points, thinned without losing a peak."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.reporting.html.axes import Numbers
from orchestrator.reporting.html.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Curve,
    Plot,
    beyond,
    curve,
    thinned,
)

PLOT = Plot(Numbers(0, 10), Numbers(0.0, 1.0), "epoch", "m")


def test_points_lie_where_the_axes_say():
    assert PLOT.at(0, 0.0) == (LEFT, HEIGHT - BOTTOM)
    assert PLOT.at(10, 1.0) == (WIDTH - RIGHT, TOP)
    assert PLOT.at(5, 0.5) == ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2)
    assert PLOT.at(5, math.nan) is None


def test_a_line_breaks_where_a_value_is_not_finite():
    drawn = curve(PLOT, Curve("0001", "first", [(0, 0.0), (1, math.nan), (2, 0.5), (3, 1.0)], "c0"), 100)
    [d] = re.findall(r' d="([^"]*)"', drawn)
    assert re.sub(r"[-0-9. ]+", "", d) == "MaaML"  # a ring, then a line
    assert 'data-trial="0001"' in drawn and 'class="trial line c0"' in drawn


@given(st.lists(st.floats(), min_size=1, max_size=300), st.integers(1, 60))
def test_thinned_points_keep_both_ends_the_order_and_every_extreme(values, most):
    points = list(enumerate(values))
    kept = thinned(points, most)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert [x for x, _ in kept] == sorted({x for x, _ in kept})
    assert set(map(str, kept)) <= set(map(str, points))
    if finite := [value for value in values if math.isfinite(value)]:
        own = [value for _, value in kept if math.isfinite(value)]
        assert (min(own), max(own)) == (min(finite), max(finite))
    if not all(map(math.isfinite, values)):
        assert not all(math.isfinite(value) for _, value in kept)
    else:
        assert len(kept) <= max(most, 4) + 4


def test_few_points_are_all_kept():
    points = [(n, float(n)) for n in range(50)]
    assert thinned(points, 50) == points


def test_values_beyond_an_axis_are_counted():
    assert beyond(Numbers(0.0, 1.0), [-1.0, 0.0, 0.5, 1.0, 2.0, math.nan, math.inf]) == 2
