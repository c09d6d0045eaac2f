"""Values of an objective for hypothesis to draw: ties, floats, and numbers that are not finite."""

import math

from hypothesis import strategies as st

NOT_FINITE = [math.nan, math.inf, -math.inf]
VALUES = st.one_of(st.integers(-2, 2).map(float), st.floats(-1e3, 1e3), st.sampled_from(NOT_FINITE))
