"""Points of a plane against closed forms, and against the codes that evaluations measure."""

import numpy as np
import pytest
import torch

from tests.support.evaluations import model
from trainables.evaluations.context import EvaluationContext
from trainables.figures import planes

PLANE = {"network": {"name": "mlp", "hidden": [16], "latent_dim": 2}}


def seen(example="vae", data="digits", **changes):
    return EvaluationContext(model(example, data, **(PLANE | changes)))


def test_the_sphere_takes_every_line_to_the_circle():
    found = planes.mapped(seen("intel_vae sphere"))
    for y_S2, z_S2 in found.lines.values():
        away = np.linalg.norm(y_S2, axis=1) > 1e-3
        np.testing.assert_allclose(z_S2[away], (y_S2 / np.linalg.norm(y_S2, axis=1, keepdims=True))[away], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.z_N2, axis=1), 1, atol=1e-3)


def test_the_identity_leaves_grid_circles_and_samples_where_they_are():
    found = planes.mapped(seen("intel_vae identity"))
    assert all((y_S2 == z_S2).all() for y_S2, z_S2 in found.lines.values())
    assert (found.y_N2 == found.z_N2).all()
    radii = {name: np.linalg.norm(y_S2, axis=1) for name, (y_S2, _) in found.lines.items() if name.startswith("|y|")}
    assert {name: float(name.partition("= ")[2]) for name in radii} == pytest.approx(
        {name: radius.mean() for name, radius in radii.items()}, rel=1e-5
    )
    assert max(np.ptp(radius) for radius in radii.values()) < 1e-5
    np.testing.assert_allclose(found.y_N2.mean(0), 0, atol=4 / np.sqrt(planes.POINTS))
    np.testing.assert_allclose(found.y_N2.std(0), 1, atol=0.1)


def test_each_sector_holds_the_samples_between_its_angles():
    found = planes.mapped(seen("intel_vae sectors"))
    angle = np.arctan2(*found.y_N2.T[::-1]) % (2 * np.pi)
    np.testing.assert_array_equal(found.part_N, np.floor(angle / (2 * np.pi / 5)))


def test_a_mapping_of_more_axes_is_seen_in_the_plane_of_the_first_two():
    found = planes.mapped(EvaluationContext(model("intel_vae holes")))
    assert found.y_N2.shape == found.z_N2.shape == (planes.POINTS, 2)
    assert np.abs(found.z_N2[:, 0]).max() <= 2


def test_a_mapping_of_one_axis_is_a_graph():
    one = {"network": {"name": "mlp", "hidden": [8], "latent_dim": 1}}
    found = planes.mapped(seen("intel_vae identity", **one))
    assert list(found.lines) == ["axis"]
    assert (found.lines["axis"][0] == found.lines["axis"][1]).all()


def test_codes_are_those_that_evaluations_measure():
    at = seen(data="circle")
    found = planes.latent_space(at)
    np.testing.assert_array_equal(found.codes_N2, at.codes("sampled", None, planes.POINTS).numpy())
    codes_N2, y_N, classes = planes.representations(seen())
    np.testing.assert_array_equal(codes_N2, seen().codes("representation", None, planes.POINTS).numpy())
    np.testing.assert_array_equal(y_N, seen().rows(None).y.numpy())
    assert classes == ()


def test_posteriors_of_examples_have_the_mean_and_spread_of_the_encoder():
    at = seen()
    with torch.no_grad():
        q = at.vae.encode(at.share_of(at.rows(None, planes.EXAMPLES)))
    drawn_ES2 = planes.latent_space(at).posteriors_ES2
    spread_E2 = (0.5 * q.log_variance_BD).exp().numpy()
    tolerance = 4 / np.sqrt(planes.DRAWS)
    assert (np.abs(drawn_ES2.mean(1) - q.mean_BD.numpy()) < tolerance * spread_E2).all()
    np.testing.assert_allclose(drawn_ES2.std(1) / spread_E2, 1, atol=tolerance)


def test_the_target_distribution_is_the_prior_through_the_mapping():
    prior_N2 = planes.latent_space(seen("intel_vae sphere")).prior_N2
    np.testing.assert_allclose(np.linalg.norm(prior_N2, axis=1), 1, atol=1e-3)
    assert np.abs(prior_N2.mean(0)).max() < 0.1


def test_generated_points_are_those_of_the_evaluations():
    at = seen(data="circle")
    data_N2, generated_N2 = planes.generated(at, 50)
    np.testing.assert_allclose(np.linalg.norm(data_N2, axis=1), 2, atol=1e-5)
    np.testing.assert_array_equal(generated_N2, at.share_of_generated(50).numpy())
