"""Whether two means differ: by Welch's interval, and what holds where a deviation is missing."""

import numpy as np
import pytest
from scipy import stats

from orchestrator.reporting.verdicts import Sample, judge


@pytest.mark.parametrize(("n", "m"), [(5, 5), (3, 10), (2, 7)])
@pytest.mark.parametrize("shift", [0, 0.4, 1, 3])
def test_means_agree_exactly_where_welchs_test_finds_no_difference(n, m, shift):
    rng = np.random.default_rng([n, m, int(10 * shift)])
    ours, other = rng.normal(size=n), shift + 2 * rng.normal(size=m)
    verdict = judge(Sample.of(ours), Sample.of(other), "min")
    found = stats.ttest_ind(ours, other, equal_var=False)
    assert (verdict.word == "agrees") == (found.pvalue >= 0.05)
    low, high = found.confidence_interval(0.95)
    assert (verdict.low, verdict.high) == pytest.approx((low, high))
    assert verdict.basis == ""


def test_a_printed_deviation_is_as_good_as_its_numbers():
    ours = [22.1, 23.4, 21.7, 22.9, 22.2]
    verdict = judge(Sample.of(ours), Sample(25.42, 1.19, 5), "min")
    found = stats.ttest_ind_from_stats(np.mean(ours), np.std(ours, ddof=1), 5, 25.42, 1.19, 5, equal_var=False)
    assert verdict.word == "better" and found.pvalue < 0.05


@pytest.mark.parametrize(("better", "word"), [("min", "worse"), ("max", "better"), (None, "higher")])
def test_the_word_is_of_the_side_that_is_better(better, word):
    assert judge(Sample(3.0, 0.1, 5), Sample(1.0, 0.1, 5), better).word == word


@pytest.mark.parametrize(("better", "word"), [("min", "better"), ("max", "worse"), (None, "lower")])
def test_the_word_below(better, word):
    assert judge(Sample(1.0, 0.1, 5), Sample(3.0, 0.1, 5), better).word == word


def test_one_training_is_held_against_the_printed_deviation_and_it_is_said():
    verdict = judge(Sample.of([24.0]), Sample(22.24, 0.57, 5), "min")
    half = stats.t.ppf(0.975, 4) * 0.57 * np.sqrt(1 + 1 / 5)  # a new draw from the paper's five
    assert (verdict.low, verdict.high) == pytest.approx((1.76 - half, 1.76 + half))
    assert verdict.word == "worse"
    assert verdict.basis == "one training here: the other deviation is taken for it"


def test_a_number_printed_without_a_deviation_is_held_against_ours_and_it_is_said():
    ours = [80.0, 82.0, 84.0]
    verdict = judge(Sample.of(ours), Sample(83.0), "max")
    half = stats.t.ppf(0.975, 2) * 2.0 * np.sqrt(1 / 3 + 1)
    assert (verdict.low, verdict.high) == pytest.approx((-1 - half, -1 + half))
    assert verdict.word == "agrees"
    assert verdict.basis == "no deviation on the other side: the other deviation is taken for it"


def test_two_single_numbers_have_no_verdict():
    verdict = judge(Sample.of([80.0]), Sample(83.0), "max")
    assert (verdict.word, verdict.low, verdict.high) == ("no verdict", None, None)
    assert "no deviation" in verdict.basis


def test_rounding_of_the_printed_number_counts():
    ours = Sample.of([0.0204, 0.0204, 0.0204])
    assert judge(ours, Sample(0.020, 0.0, 5), "min").word == "worse"
    assert judge(ours, Sample(0.020, 0.0, 5), "min", rounding=0.0005).word == "agrees"


def test_an_interval_of_the_difference_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = sum(
        judge(Sample.of(rng.normal(size=4)), Sample.of(3 * rng.normal(size=9)), None).word == "agrees"
        for _ in range(2_000)
    )
    assert 0.93 < hits / 2_000 < 0.97
