"""FactorVAE's metric and MIG on codes that are the factors, their rotations, doubles, noise and constants."""

import math

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from trainables.common.errors import Undefined
from trainables.data import Sprites
from trainables.metrics.factor_vae import factor_vae, vote
from trainables.metrics.grouping import Groups
from trainables.metrics.mig import BINS, binned, gap, mig, mutual_information

SIZES = (3, 4, 5, 6)
FACTORS = np.stack(np.unravel_index(np.arange(360), SIZES), axis=1)
VOTES = (1000, 500)
rng = np.random.default_rng(0)


def rotated(codes):
    """By a matrix whose entries all have one size: each axis holds as much of each factor."""
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    return (codes - codes.mean(0)) / codes.std(0) @ hadamard


def accuracy(codes, factors=FACTORS, votes=VOTES):
    return factor_vae(codes, factors, votes)["factor_vae"]


def test_codes_that_are_the_factors_score_100_however_scaled_and_ordered():
    assert accuracy(FACTORS.astype(float)) == 100.0
    assert accuracy(FACTORS[:, ::-1] * [0.5, -3.0, 1e4, 1.0] + 7.0) == 100.0


def test_doubled_codes_keep_the_factor_score_and_lose_the_gap():
    """Between two axes that never move within a vote, the first is taken: it still tells the factor."""
    doubled = np.concatenate([FACTORS, FACTORS], axis=1).astype(float)
    assert accuracy(doubled) == 100.0
    assert mig(doubled, FACTORS)["mig"] == pytest.approx(0, abs=1e-12)


def test_the_gap_of_codes_that_are_the_factors_is_1():
    found = mig(FACTORS.astype(float), FACTORS)["mig"]
    assert 0.99 < found <= 1  # what other axes seem to know of 10,000 draws is not quite nothing


def test_rotated_codes_score_low():
    """With all axes alike the vote can do little better than chance, 25 %; the gap is next to nothing."""
    assert accuracy(rotated(FACTORS)) < 60
    assert mig(rotated(FACTORS), FACTORS)["mig"] < 0.1


def test_random_codes_score_as_chance_does():
    noise = rng.normal(size=(360, 4))
    factors = np.stack([np.repeat([0, 1], 180), np.tile([0, 1], 180)], axis=1)
    assert mig(noise, factors)["mig"] < 0.05
    fresh = rng.normal(size=(100_000, 3))
    still = rng.integers(2, size=(100_000, 4))
    assert accuracy(fresh, still, (4000, 4000)) == pytest.approx(25, abs=4)  # 4 factors that the code knows nothing of


def test_a_code_of_one_factor_tells_only_that_one():
    """The lone axis is always the least moved: its majority factor is a quarter of the votes. Its gap is 1 of 4."""
    lone = FACTORS[:, :1].astype(float)
    assert accuracy(lone, votes=(1000, 4000)) == pytest.approx(25, abs=3)
    assert mig(lone, FACTORS)["mig"] == pytest.approx(0.25, abs=0.01)


def test_axes_that_hardly_move_take_no_part():
    """They would win every vote: their variance within a vote is that of nothing."""
    codes = np.concatenate([FACTORS, np.full((360, 2), 3.0), 0.01 * rng.normal(size=(360, 1))], axis=1)
    assert factor_vae(codes, FACTORS, VOTES) == {"factor_vae": 100.0, "factor_vae_axes": 4.0}
    assert factor_vae(np.zeros((360, 3)), FACTORS, VOTES) == {"factor_vae": 0.0, "factor_vae_axes": 0.0}
    assert mig(np.zeros((360, 3)), FACTORS)["mig"] == pytest.approx(0, abs=1e-12)


def test_without_an_axis_nothing_is_known():
    none = np.zeros((360, 0), dtype=np.float32)
    assert factor_vae(none, FACTORS, VOTES) == {"factor_vae": 0.0, "factor_vae_axes": 0.0}
    assert mig(none, FACTORS) == {"mig": 0.0}


def test_an_axis_too_narrow_for_twenty_bins_knows_nothing():
    """It moves by a few units in the last place."""
    narrow = 1 + FACTORS[:, :1] * 2.0**-52
    assert mig(narrow, FACTORS)["mig"] == pytest.approx(0, abs=1e-12)
    both = np.concatenate([narrow, FACTORS], axis=1)
    assert mig(both, FACTORS)["mig"] == pytest.approx(mig(FACTORS.astype(float), FACTORS)["mig"])
    wider = (1 + FACTORS[:, :1] * 2.0**-23).astype(np.float32)  # units of float32, between which float64 has edges
    assert mig(wider, FACTORS)["mig"] == pytest.approx(0.25, abs=0.01)


def test_a_factor_of_which_no_other_value_is_drawn_takes_no_part():
    """One row of 300,000 has another value: 10,000 draws miss it."""
    rare = np.zeros((300_240, 1), dtype=np.int64)
    rare[-1] = 1
    factors = np.concatenate([np.tile(FACTORS, (834, 1)), rare], axis=1)
    assert mig(factors[:, :4].astype(float), factors)["mig"] > 0.98
    with pytest.raises(Undefined, match="fewer than 2 factors vary"):
        mig(factors[:, :4].astype(float), factors[:, 3:])


def test_a_factor_of_one_value_takes_no_part():
    with_constant = np.concatenate([np.zeros((360, 1), dtype=np.int64), FACTORS], axis=1)
    assert accuracy(FACTORS.astype(float), with_constant) == 100.0
    assert mig(FACTORS.astype(float), with_constant)["mig"] > 0.99


@pytest.mark.parametrize("metric", [factor_vae, mig])
def test_without_two_factors_there_is_no_score(metric):
    with pytest.raises(Undefined, match="fewer than 2 factors vary"):
        metric(FACTORS.astype(float), FACTORS[:, :1])


def test_the_scores_are_functions_of_the_seed():
    codes = rotated(FACTORS) + rng.normal(size=(360, 4))
    assert factor_vae(codes, FACTORS, VOTES, seed=1) == factor_vae(codes, FACTORS, VOTES, seed=1)
    assert mig(codes, FACTORS, seed=1) == mig(codes, FACTORS, seed=1) != mig(codes, FACTORS, seed=2)


def test_rows_of_a_draw_agree_in_the_factor_and_all_of_them_come():
    values = np.array([4, 1, 1, 4, 4, 2, 0, 4])
    drawn = Groups(values).draw(np.random.default_rng(0), 4000, 3)
    assert (values[drawn] == values[drawn[:, :1]]).all()
    np.testing.assert_allclose(np.bincount(drawn[:, 0]) / 4000, 1 / 8, atol=0.025)  # each row is as likely


def test_votes_are_those_of_a_loop():
    codes = rng.normal(size=(360, 3))
    groups = [Groups(FACTORS[:, factor]) for factor in range(4)]
    found = vote(codes, groups, 50, np.random.default_rng(5))
    again, expected = np.random.default_rng(5), np.zeros((3, 4))
    for factor, number in enumerate(np.bincount(again.integers(4, size=50), minlength=4)):
        for index in groups[factor].draw(again, number, 64):
            expected[np.argmin([np.var(axis, ddof=1) for axis in codes[index].T]), factor] += 1
    np.testing.assert_array_equal(found, expected)


def test_mutual_information_is_scikit_learns():
    one, other = rng.integers(20, size=2000), rng.integers(7, size=2000)
    mixed = (one + other) % 7
    assert mutual_information(one, mixed) == pytest.approx(mutual_info_score(one, mixed), rel=1e-10)
    assert mutual_information(one, one) == pytest.approx(mutual_info_score(one, one), rel=1e-10)


def test_independent_variables_share_nothing_and_a_fair_coins_entropy_is_log_2():
    one, other = np.repeat([0, 1], 50), np.tile([0, 1], 50)
    assert mutual_information(one, other) == pytest.approx(0, abs=1e-15)
    assert mutual_information(one, one) == pytest.approx(math.log(2))
    assert gap(np.stack([one, other], 1), one) == pytest.approx(1)


def test_bins_have_one_width_and_the_greatest_value_is_in_the_last():
    assert binned(np.linspace(0, 1, 2001)).max() == BINS
    assert binned(np.array([0.0, 0.049, 0.051, 1.0])).tolist() == [1, 1, 2, BINS]
    assert binned(np.full(5, 3.0)).max() == binned(np.full(5, 3.0)).min()


def test_the_factors_of_sprites_score_100_by_themselves():
    data = Sprites()
    factors = data.grid.values(np.arange(data.grid.rows))
    assert factor_vae(factors.astype(float), factors, VOTES)["factor_vae"] == 100.0
    assert mig(factors.astype(float), factors)["mig"] > 0.98


def test_axes_are_judged_by_deviation_and_in_units_of_their_own():
    """A wide axis that knows its factor varies more than a narrow one that does not, while that factor is held."""
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(4000, 2))
    code = np.stack([100 * factors[:, 0] + 5 * rng.normal(size=4000), 0.1 * factors[:, 1]], 1)
    narrow = 0.049 * rng.normal(size=(4000, 1))
    found = factor_vae(np.hstack([code, narrow]), factors, (300, 200))
    assert found == {"factor_vae": 100.0, "factor_vae_axes": 2.0}
