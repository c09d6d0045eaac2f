"""Mappings other than sectors, against closed forms, brute force and topology; Theorem 1 of Intel-VAE."""

# Shapes: B rows of a batch, D latent dimensions.

import math

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy import integrate, ndimage, stats

from trainables.common.records import choice, summary
from trainables.mappings import MAPPINGS
from trainables.mappings.hierarchical import Hierarchical
from trainables.mappings.manifolds import Holes, Identity, Sphere
from trainables.mappings.sectors import Sectors

SPEC = TypeAdapter(choice(MAPPINGS))


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Every mapping of the table


@pytest.mark.parametrize("record", MAPPINGS)
@pytest.mark.parametrize("latent_dim", [2, 3, 16])
def test_default_mapping_keeps_the_shape_and_rows_do_not_mix(record, latent_dim):
    spec = record()
    assert list(spec.mistakes(latent_dim)) == []
    module, y_BD = spec.build(latent_dim), gaussian(6, latent_dim).float()
    z_BD = module(y_BD)
    assert z_BD.shape == y_BD.shape
    assert torch.allclose(module(y_BD[2:4]), z_BD[2:4], atol=1e-6)


@pytest.mark.parametrize("record", MAPPINGS)
def test_gradients_are_finite_at_the_origin_and_far_away(record):
    y_BD = torch.cat([torch.zeros(2, 4), 1e-6 * torch.eye(4), 1e6 * torch.eye(4)]).requires_grad_()
    record().build(4)(y_BD).square().sum().backward()
    assert y_BD.grad.isfinite().all()


@pytest.mark.parametrize("record", MAPPINGS)
def test_record_describes_itself_and_survives_a_round_trip(record):
    assert summary(record).endswith(".") and record.source.startswith("Intel-VAE")
    assert SPEC.validate_python(record().model_dump(mode="json")) == record()


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({"name": "sectors", "clusters": 1}, "clusters"),
        ({"name": "sectors", "clusters": [5, 1]}, "clusters"),
        ({"name": "sectors", "clusters": ["5", 2]}, "clusters"),
        ({"name": "sectors", "c2": 1.5}, "c2"),
        ({"name": "sectors", "on": "plane"}, "on"),
        ({"name": "sparse", "gamma": -1.0}, "gamma"),
        ({"name": "sparse", "floor": 1.0}, "floor"),
        ({"name": "holes", "holes": 0}, "holes"),
        ({"name": "hierarchical", "groups": [4, 0]}, "groups"),
        ({"name": "identity", "clusters": 2}, "clusters"),
    ],
)
def test_impossible_value_is_refused_once_and_at_its_key(written, path):
    with pytest.raises(ValidationError) as caught:
        SPEC.validate_python(written)
    assert [error["loc"][1] for error in caught.value.errors()] == [path]


@pytest.mark.parametrize(
    ("spec", "latent_dim", "path", "words"),
    [
        (Sectors(clusters=5), 1, "clusters", "1 plane need 2 latent"),
        (Sectors(clusters=(5, 2)), 3, "clusters", "2 planes need 4 latent"),
        (Sectors(clusters=6, on="axes"), 8, "clusters", "power of two"),
        (Sectors(clusters=(2, 2), on="axes"), 8, "clusters", "one number"),
        (Sectors(clusters=8, on="axes"), 2, "clusters", "8 clusters on axes need 3"),
        (Holes(holes=3), 1, "holes", "need 2"),
        (Hierarchical(groups=(8, 4)), 16, "groups", "8 + 4 = 12"),
        (Hierarchical(groups=(16,)), 16, "groups", "two groups or more"),
        (Hierarchical(), 1, "groups", "[0, 1] is no hierarchy"),
    ],
)
def test_too_few_dimensions_are_a_mistake_with_its_path(spec, latent_dim, path, words):
    ((found, text),) = spec.mistakes(latent_dim)
    assert found == path and words in text


# Identity, sphere, holes


def test_identity_returns_its_input():
    y_BD = gaussian(5, 3)
    assert torch.equal(Identity().build(3)(y_BD), y_BD)


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 50])
def test_sphere_keeps_the_direction_and_its_norm_is_one_up_to_eps(latent_dim):
    y_BD = gaussian(1000, latent_dim)
    z_BD, norm_B = Sphere().build(latent_dim)(y_BD), y_BD.norm(dim=1)
    torch.testing.assert_close(z_BD.norm(dim=1), norm_B / (norm_B + 1e-7), rtol=1e-13, atol=0)
    torch.testing.assert_close(z_BD * norm_B[:, None], y_BD * z_BD.norm(dim=1, keepdim=True), rtol=1e-12, atol=1e-12)


def test_sphere_is_continuous_at_the_origin_with_slope_below_1e4():
    y_BD = torch.tensor([[0.0, 0.0], [3e-9, 4e-9], [-3e-9, -4e-9]], dtype=torch.float64)
    z_BD = Sphere().build(2)(y_BD)
    assert torch.equal(z_BD[0], y_BD[0])
    assert (z_BD[1] - z_BD[2]).norm() < 1e4 * (y_BD[1] - y_BD[2]).norm()


def brute_width(c: float, holes: int) -> float:
    """w(c) of the reference: inner segments and end segments written out apart."""
    nodes = [-1 + 2 * k / holes for k in range(holes + 1)]
    k = max(k for k in range(holes) if nodes[k] <= c)
    if 0 < k < holes - 1:
        half = 1 / holes
        return half * (math.sqrt(4 / 3 - ((c - (nodes[k] + nodes[k + 1]) / 2) / half) ** 2) - 1 / math.sqrt(3))
    glue = nodes[1] if k == 0 else nodes[-2]
    d = abs(c - glue) / (2 / holes)
    return 2 / holes * (math.sqrt(4 / 3 - (1 - d) ** 2) - 1 / math.sqrt(3))


@pytest.mark.parametrize("holes", [2, 3, 4, 5, 7])
def test_width_of_the_loops_is_the_references(holes):
    c_B = torch.linspace(-1, 1, 999, dtype=torch.float64)
    expected = [brute_width(c, holes) for c in c_B.tolist()]
    assert np.allclose(Holes(holes=holes).build(2).squeeze(c_B), expected, rtol=0, atol=1e-14)


def test_two_holes_are_equation_5_with_the_root_over_its_first_term():
    y_BD = gaussian(1000, 2)
    c, s = (y_BD / (y_BD.norm(dim=1, keepdim=True) + 1e-7)).numpy().T
    expected = np.stack([c, s * (np.sqrt(4 / 3 - (1 - np.abs(c)) ** 2) - 1 / np.sqrt(3))], 1)
    assert np.allclose(Holes(scale=1.0).build(2)(y_BD), expected, rtol=0, atol=1e-14)
    assert np.allclose(Holes().build(2)(y_BD), 2 * expected, rtol=0, atol=1e-14)


def test_width_is_zero_at_the_glue_point_and_one_over_root_three_at_the_ends():
    width = Holes().build(2).squeeze(torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    assert np.allclose(width, [1 / math.sqrt(3), 0, 1 / math.sqrt(3)], rtol=0, atol=1e-15)


@pytest.mark.parametrize("holes", [2, 3, 4, 5, 6, 7])
def test_loops_close_and_touch_at_every_node(holes):
    """At an inner node both circle points land on one; a step of 1e-9 across it moves w by at most sqrt(3) 1e-9."""
    chain = Holes(holes=holes).build(2)
    node = torch.arange(1, holes, dtype=torch.float64) * 2 / holes - 1
    below, above = chain.squeeze(node - 5e-10), chain.squeeze(node + 5e-10)
    assert below.abs().max() < 1e-9 and (above - below).abs().max() < math.sqrt(3) * 1e-9
    upper, lower = (chain(torch.stack([node, sign * (1 - node**2).sqrt()], 1)) for sign in (1, -1))
    assert torch.allclose(upper, lower, rtol=0, atol=1e-6)


@pytest.mark.parametrize("holes", [1, 2, 3, 4, 5, 6, 7])
def test_image_has_as_many_holes_as_asked(holes):
    """Bounded components of the complement of the image, drawn on 1200 x 1200 pixels of [-3, 3]^2."""
    t_B = torch.linspace(0, 2 * math.pi, 400_001, dtype=torch.float64)
    z_BD = Holes(holes=holes).build(2)(torch.stack([t_B.cos(), t_B.sin()], 1))
    empty = np.ones((1200, 1200), bool)
    empty[tuple(((z_BD.numpy() + 3) * 200).astype(int).T)] = False
    assert ndimage.label(empty)[1] - 1 == holes  # less the one component outside


def test_holes_leave_the_other_dimensions_alone():
    y_BD = gaussian(20, 5)
    z_BD = Holes(holes=3).build(5)(y_BD)
    assert torch.equal(z_BD[:, 2:], y_BD[:, 2:])
    assert torch.equal(z_BD[:, :2], Holes(holes=3).build(2)(y_BD[:, :2]))


# Hierarchical


@pytest.mark.parametrize(
    ("groups", "count"),
    [
        ((32, 32), 2080),
        ((16,) * 4, 1584),
        ((16, 16, 32), 2096),
        ((8, 8, 8, 8, 16, 16), 1336),
        ((32,) * 4, 6240),
        ((8,) * 4 + (32,) * 3, 5880),
        ((2,) * 4 + (8,) * 3 + (32,) * 3, 5862),
    ],
)
def test_hierarchy_has_the_references_parameter_count(groups, count):
    assert list(Hierarchical(groups=groups).mistakes(sum(groups))) == []
    assert sum(p.numel() for p in Hierarchical(groups=groups).build(sum(groups)).parameters()) == count


def test_hierarchy_starts_as_keras_would():
    torch.manual_seed(0)
    for layer in Hierarchical(groups=(8, 8, 16)).build(32).layers:
        limit = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert 0.9 * limit < layer.weight.abs().max() <= limit
        assert (layer.bias == 0).all()


@pytest.mark.parametrize(("latent_dim", "groups"), [(64, (32, 32)), (5, (2, 3))])
def test_default_hierarchy_is_two_halves(latent_dim, groups):
    assert Hierarchical().build(latent_dim).groups == groups


def test_hierarchy_equals_a_loop_over_units_and_its_first_group_is_y():
    torch.manual_seed(0)
    groups = (2, 3, 1, 4)
    module, y_BD = Hierarchical(groups=groups).build(10).double(), gaussian(7, 10)
    z_BD = module(y_BD).detach().numpy()
    for y, z in zip(y_BD.numpy(), z_BD, strict=True):
        above, start, expected = list(y[:2]), 2, list(y[:2])
        for layer, size in zip(module.layers, groups[1:], strict=True):
            inputs = above + list(y[start : start + size])
            weights, biases = layer.weight.tolist(), layer.bias.tolist()
            totals = [sum(map(math.prod, zip(w, inputs, strict=True))) for w in weights]
            above = [max(0.0, total + b) for total, b in zip(totals, biases, strict=True)]
            expected += above
            start += size
        assert np.allclose(z, expected, rtol=0, atol=1e-12)


def test_lower_groups_do_not_influence_higher_ones():
    module, y_BD = Hierarchical(groups=(2, 3, 4)).build(9).double(), gaussian(7, 9)
    changed = torch.cat([y_BD[:, :5], gaussian(7, 4, seed=1)], 1)
    assert torch.equal(module(y_BD)[:, :5], module(changed)[:, :5])
    assert not torch.equal(module(y_BD), module(changed))


# Theorem 1: KL(q(z|x) || p(z)) <= KL(q(y|x) || p(y)), with equality for an invertible g

MEAN, SD, ROWS = np.array([0.8, 0.3]), np.array([0.5, 0.9]), 1_000_000


def kl_in_y(mean: np.ndarray, sd: np.ndarray) -> float:
    return float(0.5 * (mean**2 + sd**2 - 1 - 2 * np.log(sd)).sum())


def histogram_kl(counts: np.ndarray, prior_mass: np.ndarray) -> float:
    """sum q log(q / p) over bins, less the bias (occupied bins - 1) / 2N of the plug-in estimate."""
    q = counts / counts.sum()
    seen = counts > 0
    return float((q[seen] * np.log(q[seen] / prior_mass[seen])).sum() - (seen.sum() - 1) / (2 * counts.sum()))


def angle_density(t: float) -> float:
    """Density of the angle of y ~ N(MEAN, SD^2)."""

    def on_the_ray(r: float) -> float:
        squares = ((r * math.cos(t) - MEAN[0]) / SD[0]) ** 2 + ((r * math.sin(t) - MEAN[1]) / SD[1]) ** 2
        return r * math.exp(-squares / 2) / (2 * math.pi * SD[0] * SD[1])

    return integrate.quad(on_the_ray, 0, 12, points=[0.5, 1, 2])[0]


@pytest.fixture(scope="module")
def kl_on_the_circle() -> float:
    t = (np.arange(400) + 0.5) * 2 * math.pi / 400  # the midpoint rule is spectrally exact for a periodic function
    f = np.array([angle_density(angle) for angle in t])
    assert f.mean() * 2 * math.pi == pytest.approx(1, abs=1e-9)
    return float((f * np.log(2 * math.pi * f)).mean() * 2 * math.pi)


@pytest.mark.parametrize(("spec", "radius"), [(Sphere(), 1), (Holes(holes=3), 2)])
def test_theorem_1_kl_shrinks_when_a_plane_becomes_a_circle_or_loops(spec, radius, kl_on_the_circle):
    """z tells its angle (up to the glue points), which is uniform under the prior."""
    y_BD = torch.from_numpy(MEAN) + torch.from_numpy(SD) * gaussian(ROWS, 2)
    z = spec.build(2)(y_BD).numpy()
    t = np.copysign(np.arccos(np.clip(z[:, 0] / radius, -1, 1)), z[:, 1])
    kl_in_z = histogram_kl(np.histogram(t, 200, (-math.pi, math.pi))[0], np.full(200, 1 / 200))
    assert kl_in_z == pytest.approx(kl_on_the_circle, abs=0.005)
    assert kl_in_z < kl_in_y(MEAN, SD) - 0.05


def test_theorem_1_kl_shrinks_where_a_hierarchys_relu_is_flat():
    """Mean of log q(z) / p(z), where z_1 = ReLU(a y_0 + b y_1 + c) has an atom at 0."""
    module = Hierarchical(groups=(1, 1)).build(2).double()
    (a, b), c = (-0.7, 1.1), 0.2
    with torch.no_grad():
        module.layers[0].weight.copy_(torch.tensor([[a, b]]))
        module.layers[0].bias.fill_(c)
        y_BD = torch.from_numpy(MEAN) + torch.from_numpy(SD) * gaussian(ROWS, 2)
        z = module(y_BD).numpy()
    per_axis = stats.norm.logpdf(y_BD, MEAN, SD) - stats.norm.logpdf(y_BD)
    centre = a * z[:, 0] + c
    atom = stats.norm.logcdf(-(centre + b * MEAN[1]) / (b * SD[1])) - stats.norm.logcdf(-centre / b)
    ratio = per_axis[:, 0] + np.where(z[:, 1] == 0, atom, per_axis[:, 1])
    gap = per_axis.sum(1) - ratio
    assert per_axis.sum(1).mean() == pytest.approx(kl_in_y(MEAN, SD), abs=0.01)
    assert gap.mean() > 10 * gap.std() / math.sqrt(ROWS)


def test_theorem_1_kl_is_equal_for_the_invertible_axis_map():
    """Bins of equal width in z: the prior's mass from the inverse of g, the posterior's from samples."""
    module, mean, sd = Sectors(clusters=2, on="axes").build(1).double(), np.array([0.4]), np.array([0.6])
    y_grid = np.linspace(-6, 6, 400_001)
    z_grid = module(torch.from_numpy(y_grid)[:, None]).numpy().ravel()
    assert (np.diff(z_grid) > 0).all()
    edges = np.linspace(z_grid[0], z_grid[-1], 2001)
    prior_mass = np.diff(stats.norm.cdf(np.interp(edges, z_grid, y_grid)))
    z = module(torch.from_numpy(mean) + torch.from_numpy(sd) * gaussian(ROWS, 1)).numpy()
    assert histogram_kl(np.histogram(z, edges)[0], prior_mass) == pytest.approx(kl_in_y(mean, sd), abs=0.005)
