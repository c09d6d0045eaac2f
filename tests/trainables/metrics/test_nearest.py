"""Distances to the nearest row against scipy's tree, closed forms, and a model that leaves out a part of the data."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from trainables.metrics import nearest as module
from trainables.metrics.nearest import distances, nearest


def points(count, seed, dim=2):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dim", [2, 7])
def test_distances_are_those_of_a_tree(dim, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 40)
    some, others = points(101, 0, dim), points(60, 1, dim)
    known, _ = cKDTree(others.double().numpy()).query(some.double().numpy())
    np.testing.assert_allclose(distances(some, others), known, rtol=1e-12)


def test_images_are_compared_by_all_their_values():
    x_BCHW, y_BCHW = points(9, 2, 12).view(9, 1, 3, 4), points(5, 3, 12).view(5, 1, 3, 4)
    assert nearest(x_BCHW, y_BCHW) == nearest(x_BCHW.flatten(1), y_BCHW.flatten(1))


def test_points_inside_a_circle_are_as_far_as_their_radius_is_smaller():
    angle_N = torch.linspace(0, 2 * torch.pi, 10_001)[:-1].double()
    circle_N2 = torch.stack([angle_N.cos(), angle_N.sin()], 1)
    found = nearest(0.75 * circle_N2[::7], circle_N2)
    assert found == pytest.approx({"nearest_real": 0.25, "nearest_generated": 0.25}, rel=1e-4)


def test_a_model_of_half_of_the_data_is_near_to_it_and_the_data_are_far_from_the_model():
    real_N2 = torch.cat([points(500, 4), points(501, 5) + 100])
    found = nearest(points(500, 6), real_N2)
    assert found["nearest_real"] < 1 and found["nearest_generated"] > 90
