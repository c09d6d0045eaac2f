"""Precision and recall of distributions: analytic values of disjoint, equal, overlapping and nested sets."""

import numpy as np
import pytest

from trainables.common.errors import Undefined
from trainables.metrics.prd import best_f, curve, histograms, precision_recall

CENTRES = 10 * np.eye(8)


def around(centres, rows, seed=0):
    """`rows` points close to each of the centres with these numbers."""
    rng = np.random.default_rng(seed)
    return np.concatenate([CENTRES[centre] + 0.01 * rng.normal(size=(rows, 8)) for centre in centres])


def scores(generated, real, clusters=8):
    found = precision_recall(generated, real, clusters=clusters, runs=2)
    return found["precision"], found["recall"]


def half_overlap(beta):
    """The curve of two sets that share half their mass: p = min(slope, 1) / 2, r = min(1, 1 / slope) / 2, both 1/2."""
    return (1 + beta**2) * 0.25 / (beta**2 * 0.5 + 0.5)


def test_equal_sets_have_both_and_disjoint_sets_have_neither():
    assert scores(around(range(8), 20), around(range(8), 20, seed=1)) == pytest.approx((1, 1), abs=1e-6)
    assert scores(around(range(4), 20), around(range(4, 8), 20)) == pytest.approx((0, 0), abs=1e-6)


def test_half_overlapping_sets_have_half_of_both():
    found = scores(around([0, 1, 2, 3], 20), around([2, 3, 4, 5], 20), clusters=6)
    assert found == pytest.approx((half_overlap(1 / 8), half_overlap(8)), abs=1e-6) == (0.5, 0.5)


def test_a_dropped_mode_costs_recall_and_an_invented_one_precision():
    """Generated has half of the modes: p = min(2, ...) = 1 at r = 1/2. max F_b is then known."""
    half, whole = around([0, 1, 2, 3], 40), around(range(8), 20)
    best, worst = 65 * 0.5 / (1 + 64 * 0.5), 65 * 0.5 / (64 + 0.5)
    assert scores(half, whole) == pytest.approx((best, worst), abs=2e-3)
    assert scores(whole, half) == pytest.approx((worst, best), abs=2e-3)


def test_the_curve_is_the_loop_over_slopes():
    rng = np.random.default_rng(0)
    generated, real = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    for angle, precision, recall in zip(
        np.linspace(1e-10, np.pi / 2 - 1e-10, 21), *curve(generated, real, 21), strict=True
    ):
        slope = np.tan(angle)
        assert precision == pytest.approx(min(1, sum(min(slope * r, g) for r, g in zip(real, generated, strict=True))))
        assert recall == pytest.approx(min(1, sum(min(r, g / slope) for r, g in zip(real, generated, strict=True))))


def test_swapping_the_sets_swaps_the_scores():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) * 0.4
    p, q = histograms(a, b, 10, 0)
    forth, back = curve(p, q), curve(q, p)
    assert best_f(*forth, 8) == pytest.approx(best_f(*back, 1 / 8), rel=1e-6)


def test_histograms_are_shares_and_a_function_of_the_seed():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(90, 3)), rng.normal(size=(90, 3))
    one, again = histograms(a, b, 10, 3), histograms(a, b, 10, 3)
    np.testing.assert_array_equal(one, again)
    assert [share.sum() for share in one] == pytest.approx([1, 1])


def test_unequal_and_too_few_rows_are_refused():
    with pytest.raises(Undefined, match="8 generated and 16 real rows: use as many of each"):
        precision_recall(around(range(8), 1), around(range(8), 2))
    with pytest.raises(Undefined, match="16 rows make no 20 clusters"):
        precision_recall(around(range(8), 1), around(range(8), 1))


def test_one_point_again_and_again_counts_as_equal():
    still = np.ones((30, 4))
    found = precision_recall(still, still, clusters=3, runs=1)
    assert found == pytest.approx({"precision": 1, "recall": 1}, abs=1e-6)


def test_the_curve_is_the_mean_over_clusterings_of_one_seed_each():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 0.5
    curves = [curve(*histograms(one, other, 8, seed)) for seed in (0, 1)]
    assert (curves[0] != curves[1]).any()
    precision, recall = np.mean(curves, axis=0)
    expected = {"precision": best_f(precision, recall, 1 / 8), "recall": best_f(precision, recall, 8.0)}
    assert precision_recall(one, other, clusters=8, runs=2) == expected


def test_rows_of_both_sets_make_the_clusters():
    points = np.random.default_rng(0).normal(size=(20, 2))
    assert precision_recall(points[:10], points[10:], clusters=20, runs=1)["precision"] < 0.01
