"""Parzen windows against scikit-learn's kernel density, closed forms, and degenerate sets."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity

from trainables.metrics import parzen as module
from trainables.metrics.parzen import OF_SPREAD, WIDTHS, likeliest, log_density, parzen, widths_for


def points(rows, seed, dim=6, scale=1.0):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)) * scale


def theirs(at, centres, width):
    return KernelDensity(bandwidth=width, kernel="gaussian", rtol=0).fit(centres.numpy()).score_samples(at.numpy())


def test_log_densities_are_scikit_learns(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 7)
    at, centres = points(20, 0), points(33, 1)
    found = log_density(at, centres, (0.3, 1.0))
    for column, width in enumerate((0.3, 1.0)):
        np.testing.assert_allclose(found[:, column], theirs(at, centres, width), rtol=1e-9)


def test_one_centre_is_a_gaussian_and_far_points_stay_finite():
    at = torch.tensor([[0.0, 0.0], [300.0, 400.0]])
    expected = [-math.log(2 * math.pi * 0.01), -math.log(2 * math.pi * 0.01) - 500**2 / 0.02]
    assert log_density(at, torch.zeros(1, 2), (0.1,)).flatten().tolist() == pytest.approx(expected)


def test_images_are_flattened():
    images = torch.rand(4, 1, 3, 3)
    torch.testing.assert_close(
        log_density(images, images, WIDTHS), log_density(images.flatten(1), images.flatten(1), WIDTHS)
    )


def test_the_width_is_the_one_that_makes_validation_rows_likeliest():
    centres, val, at = points(60, 2, scale=0.3), points(40, 3, scale=0.3), points(30, 4, scale=0.3)
    means = [theirs(val, centres, width).mean() for width in WIDTHS]
    expected = WIDTHS[int(np.argmax(means))]
    assert WIDTHS[0] < expected < WIDTHS[-1]
    found, width = likeliest(centres, val, at)
    assert width == expected
    assert found == pytest.approx(theirs(at, centres, width).mean(), rel=1e-9)


def test_generating_one_mode_of_two_costs_likelihood_one_way_only():
    """Test rows in a mode that is never generated are unlikely; what is generated is likely among the test rows."""
    left, right = points(100, 5, scale=0.1) - 2, points(100, 6, scale=0.1) + 2
    both, val = torch.cat([left[:50], right[:50]]), torch.cat([left[50:], right[50:]])
    good, collapsed = (parzen(made, val, both).numbers for made in (val.flip(0), points(100, 7, scale=0.1) - 2))
    assert collapsed["parzen_nll"] > good["parzen_nll"] + 10
    assert collapsed["parzen_reversed_nll"] < good["parzen_reversed_nll"] + 1
    assert collapsed["parzen_width"] == 1.0


def test_generating_one_point_is_finite():
    found = parzen(torch.zeros(50, 4), points(20, 8, 4), points(20, 9, 4)).numbers
    assert all(math.isfinite(value) for value in found.values())


def test_both_windows_are_as_wide_as_the_validation_rows_ask_for():
    generated, val, test = (torch.randn(40, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    test = 0.05 * test
    back, width = likeliest(test, val, generated)
    assert width != likeliest(test, test, generated)[1]
    assert parzen(generated, val, test).numbers["parzen_reversed_nll"] == -back


def two_clusters(rows, seed, unit):
    """Of standard deviation 0.3 on either side of 0, whose spread is about 2, in any unit and at any place."""
    side = 4.0 * (torch.arange(rows) % 2)[:, None]
    return (side + points(rows, seed, 2, 0.3)) * unit + 7


@pytest.mark.parametrize("unit", [1.0, 100.0, 0.01])
def test_the_windows_of_data_without_a_range_do_not_depend_on_their_units(unit):
    generated, val, test = (two_clusters(400, seed, unit) for seed in (11, 12, 13))
    found = parzen(generated, val, test, widths_for(val))
    fitting = np.geomspace(0.01, 2, 60) * unit
    best = max(fitting, key=lambda width: theirs(val.double(), generated.double(), width).mean())
    assert found.numbers["parzen_nll"] == pytest.approx(
        -theirs(test.double(), generated.double(), best).mean(), abs=0.05
    )
    assert found.edge == ""


def test_widths_of_data_without_a_range_are_relative_to_their_standard_deviation():
    val = torch.cat([points(50, 14, 3, 5.0), 1000 + points(50, 15, 3, 2.0)], 1)
    spread = math.sqrt(val.double().numpy().var(0).mean())
    assert widths_for(val) == pytest.approx([spread * width for width in OF_SPREAD], rel=1e-9)
    assert widths_for(torch.ones(5, 3)) == OF_SPREAD


def test_a_width_at_an_edge_of_those_tried_is_told():
    centres, val, at = points(60, 2, scale=0.3), points(40, 3, scale=0.3), points(30, 4, scale=0.3)
    assert parzen(centres, val, at).edge == ""
    for far, end in ((100.0, "1, is the largest"), (1e-3, "0.05, is the least")):
        edge = parzen(far * centres, far * val, far * at).edge
        assert f"that of parzen_nll, {end}" in edge and f"that of parzen_reversed_nll, {end}" in edge
