"""The sector mapping against brute force: distances, continuity, clusters, proportions, gradients."""

# Shapes: B rows of a batch, D latent dimensions, K clusters.

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from trainables.mappings.modules.sectors import SMOOTHING, Cuts, push
from trainables.mappings.sectors import Sectors

CLUSTERS = [2, 3, 4, 5, 10]
SHARES = [
    [0.5, 0.5],
    [0.7, 0.3],  # a sector wider than pi
    [0.9, 0.1],  # one wider than 3 pi / 2
    [0.1, 0.8, 0.1],
    [0.2, 0.3, 0.05, 0.45],
]


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(latent_dim: int, **fields) -> Cuts:
    spec = Sectors(**fields)
    assert list(spec.mistakes(latent_dim)) == []
    return spec.build(latent_dim).double()


def plane_with(shares: list[float], **fields) -> Cuts:
    """One plane with learned sectors of these shares."""
    module = built(2, clusters=len(shares), learned=True, **fields)
    with torch.no_grad():
        module.cuts[0].shares.copy_(torch.tensor(shares, dtype=torch.float64).log())
    return module


def pushed(distance, c1=5.0, c2=0.2):
    """Equation 6's push, smoothed, by numpy."""
    return c1 * distance * (distance**2 + SMOOTHING**2) ** ((c2 - 1) / 2)


def brute_force(y: np.ndarray, shares: list[float], c1: float, c2: float) -> np.ndarray:
    """Equation 6 with the smoothed power, one point and one boundary at a time."""
    starts = [2 * math.pi * sum(shares[:k]) for k in range(len(shares))]
    angle = math.atan2(y[1], y[0]) % (2 * math.pi)
    k = max(k for k, start in enumerate(starts) if start <= angle)
    distance = math.inf
    for start in starts:
        ray = np.array([math.cos(start), math.sin(start)])
        distance = min(distance, np.linalg.norm(y - max(0.0, y @ ray) * ray))
    middle = starts[k] + math.pi * shares[k]
    step = pushed(distance, c1, c2)
    return y + step * np.array([math.cos(middle), math.sin(middle)])


CONSTANTS = [(5.0, 0.2), (5.0, 0.5), (1.0, 0.2)]  # the paper's, its code's for images, an older one of its code


@pytest.mark.parametrize(("c1", "c2"), CONSTANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_push_is_equation_6_from_1e_4_on(c1, c2, dtype):
    distance = np.geomspace(1e-4, 1e2, 601)
    found = push(torch.from_numpy(distance).to(dtype), c1, c2).numpy()
    np.testing.assert_allclose(found, c1 * distance**c2, rtol=5.1e-5)
    near = push(torch.tensor([1e-2, 1.0], dtype=torch.float64), c1, c2)
    np.testing.assert_allclose(near, c1 * np.array([1e-2, 1.0]) ** c2, rtol=1e-8)


@pytest.mark.parametrize(("c1", "c2"), CONSTANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_push_is_0_at_0_odd_and_increasing_with_its_steepest_slope_at_0(c1, c2, dtype):
    side = torch.from_numpy(np.geomspace(1e-12, 1e6, 2001)).to(dtype)
    offset = torch.cat([-side.flip(0), torch.zeros(1, dtype=dtype), side]).requires_grad_()
    found = push(offset, c1, c2)
    (slope,) = torch.autograd.grad(found.sum(), offset)
    assert found[len(side)] == 0
    torch.testing.assert_close(found, -found.flip(0), rtol=1e-6, atol=0)
    assert (found.diff() > 0).all() and (slope > 0).all()
    assert [slope.max().item(), slope[len(side)].item()] == pytest.approx([c1 * 1e-6 ** (c2 - 1)] * 2, rel=1e-5)


@pytest.mark.parametrize(("c1", "c2"), CONSTANTS)
def test_slope_of_the_push_equals_finite_differences_near_and_far_from_a_boundary(c1, c2):
    offset = torch.tensor([0.0, 1e-7, -1e-6, 3e-6, 1e-4, -0.02, 1.0, 30.0], dtype=torch.float64)
    (slope,) = torch.autograd.grad(push(offset.requires_grad_(), c1, c2).sum(), offset)
    step = 1e-4 * offset.detach().abs().clamp_min(1e-6)
    with torch.no_grad():
        expected = (push(offset + step, c1, c2) - push(offset - step, c1, c2)) / (2 * step)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize(("c1", "c2"), [(5.0, 0.2), (5.0, 0.5), (1.0, 1.0)])
def test_equal_sectors_equal_brute_force(clusters, c1, c2):
    y_BD = gaussian(500, 2)
    expected = [brute_force(y, [1 / clusters] * clusters, c1, c2) for y in y_BD.numpy()]
    assert np.allclose(built(2, clusters=clusters, c1=c1, c2=c2)(y_BD), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_distance_is_the_sine_form_of_the_authors_code(clusters):
    """||y|| sin(a / 2 - |angle from the centre|), read off the length of a push with c1 = c2 = 1."""
    y_BD = gaussian(500, 2)
    a, angle = 2 * math.pi / clusters, torch.atan2(y_BD[:, 1], y_BD[:, 0]) % (2 * math.pi)
    expected = y_BD.norm(dim=1) * torch.sin(a / 2 - (angle - a * ((angle / a).floor() + 0.5)).abs())
    moved = (built(2, clusters=clusters, c1=1.0, c2=1.0)(y_BD) - y_BD).norm(dim=1)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shares", SHARES)
def test_learned_sectors_equal_brute_force_also_when_wider_than_pi(shares):
    y_BD = gaussian(500, 2)
    expected = [brute_force(y, shares, 5.0, 0.2) for y in y_BD.numpy()]
    assert np.allclose(plane_with(shares)(y_BD).detach(), expected, rtol=0, atol=1e-9)


def test_beyond_a_right_angle_the_nearest_boundary_point_of_a_wide_sector_is_the_origin():
    module = plane_with([0.75, 0.25], c1=1.0, c2=1.0)
    middle = 0.75 * math.pi  # of the sector from 0 to 3 pi / 2
    y_BD = 2 * torch.tensor([[math.cos(middle), math.sin(middle)]], dtype=torch.float64)
    torch.testing.assert_close(module(y_BD), 2 * y_BD)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shares", [[1 / k] * k for k in CLUSTERS] + SHARES)
def test_sector_map_is_continuous_at_every_boundary_and_at_the_origin(shares, dtype):
    """Across a boundary, and around the origin, g moves no more than its steepest slope allows, and stays near y."""
    step = 1e-7 if dtype == torch.float32 else 1e-12
    start_K = 2 * math.pi * torch.tensor([0.0, *np.cumsum(shares)[:-1]], dtype=torch.float64)
    ray_KD = torch.stack([start_K.cos(), start_K.sin()], 1)
    across_KD = step * torch.stack([-ray_KD[:, 1], ray_KD[:, 0]], 1)
    points = [r * ray_KD + side * across_KD for r in (0.0, 0.1, 1.0) for side in (-1, 0, 1)]
    y_BD = torch.cat(points).to(dtype)
    slope = 5 * SMOOTHING ** (0.2 - 1)
    with torch.no_grad():
        moved = (plane_with(shares).to(dtype)(y_BD) - y_BD).norm(dim=1)
    pushed = 5 * 0.1**0.2  # by equation 6, at a distance of 0.1: a map that is torn moves by as much at once
    assert moved.max() < 5 * slope * step < 0.1 * pushed  # float32 rounds y by as much as `step`


@pytest.mark.parametrize("shares", [[0.2] * 5, [0.7, 0.3]])
def test_no_pair_of_close_points_is_torn_apart(shares):
    y_BD = gaussian(100_000, 2)
    near_BD = y_BD + 1e-9 * gaussian(100_000, 2, seed=1)
    module, slope = plane_with(shares), 1 + 5 * SMOOTHING ** (0.2 - 1)
    with torch.no_grad():
        stretch = (module(near_BD) - module(y_BD)).norm(dim=1) / (near_BD - y_BD).norm(dim=1)
    assert stretch.max() < 1.01 * slope


def test_two_clusters_on_an_axis_are_the_codes_map():
    y_BD = torch.cat([gaussian(100, 3), torch.zeros(1, 3, dtype=torch.float64)])
    y = y_BD[:, 0].numpy()
    z_BD = built(3, clusters=2, on="axes")(y_BD)
    expected = y + np.sign(y) * pushed(np.abs(y))
    assert np.allclose(z_BD[:, 0], expected, rtol=0, atol=1e-12)
    assert torch.equal(z_BD[:, 1:], y_BD[:, 1:]) and torch.equal(z_BD[-1], y_BD[-1])


def test_two_sectors_of_a_plane_are_the_axis_map_of_its_second_coordinate():
    """Only the label of the coordinate differs (the direction warning of the reference)."""
    y_BD = gaussian(100, 2)
    plane, axis = built(2, clusters=2)(y_BD), built(2, clusters=2, on="axes")(y_BD.flip(1)).flip(1)
    torch.testing.assert_close(plane, axis, rtol=0, atol=1e-9)


def test_eight_clusters_on_axes_cut_the_first_three_each_by_itself():
    y_BD, axis = gaussian(100, 5), built(1, clusters=2, on="axes")
    z_BD = built(5, clusters=8, on="axes")(y_BD)
    expected = torch.cat([axis(y_BD[:, [d]]) for d in range(3)] + [y_BD[:, 3:]], 1)
    assert torch.equal(z_BD, expected)


def test_planes_act_each_on_its_own_pair_of_dimensions():
    y_BD = gaussian(100, 7)
    z_BD = built(7, clusters=(5, 2, 3))(y_BD)
    pieces = [built(2, clusters=k)(y_BD[:, 2 * i : 2 * i + 2]) for i, k in enumerate((5, 2, 3))]
    assert torch.equal(z_BD, torch.cat([*pieces, y_BD[:, 6:]], 1))


def components(z: np.ndarray, reach: float) -> int:
    """Clusters of points, linked when they are closer than `reach`."""
    i, j = cKDTree(z).query_pairs(reach, output_type="ndarray").T
    return connected_components(coo_matrix((np.ones(len(i)), (i, j)), (len(z), len(z))))[0]


@pytest.mark.parametrize("clusters", [(2,), (3,), (5,), (5, 2), (3, 3), (4, 2)])
def test_number_of_clusters_is_the_product_over_planes(clusters):
    """A grid on a product of unit circles is one cluster before the map; reach and steps are the same after it."""
    t = (np.arange(60) + 0.5) * 2 * math.pi / 60
    circle = np.stack([np.cos(t), np.sin(t)], 1)
    index = np.stack(np.meshgrid(*[np.arange(60)] * len(clusters), indexing="ij"), -1).reshape(-1, len(clusters))
    y = np.concatenate([circle[index[:, i]] for i in range(len(clusters))], 1)
    z = built(y.shape[1], clusters=clusters)(torch.from_numpy(y)).numpy()
    assert components(0.5 * y, 0.8) == 1
    assert components(z, 0.8) == math.prod(clusters)


@pytest.mark.parametrize(
    ("fields", "count"),
    [({"clusters": 5}, 5), ({"clusters": (5, 2)}, 10), ({"clusters": 8, "on": "axes"}, 8)],
)
@pytest.mark.parametrize("learned", [False, True])
def test_clusters_start_with_equal_masses(fields, count, learned):
    proportions = built(4, learned=learned, **fields).proportions()
    torch.testing.assert_close(proportions, torch.full((count,), 1 / count, dtype=torch.float64))


@pytest.mark.parametrize("fields", [{"clusters": 5}, {"clusters": (5, 2)}, {"clusters": 8, "on": "axes"}])
def test_only_learned_proportions_are_trained_and_saved(fields):
    assert not built(4, **fields).state_dict() and not list(built(4, **fields).parameters())
    learned = built(4, learned=True, **fields)
    assert list(learned.state_dict()) == [name for name, _ in learned.named_parameters()] != []


@pytest.mark.parametrize("shares", SHARES)
def test_learned_proportions_of_a_plane_are_the_prior_mass_of_its_sectors(shares):
    rows = 200_000
    y = gaussian(rows, 2).numpy()
    angle = np.arctan2(y[:, 1], y[:, 0]) % (2 * math.pi)
    counts = np.histogram(angle, 2 * math.pi * np.concatenate([[0], np.cumsum(shares)]))[0]
    proportions = plane_with(shares).proportions().detach().numpy()
    assert np.allclose(proportions, shares, rtol=0, atol=1e-12)
    assert stats.chisquare(counts, rows * proportions / proportions.sum()).pvalue > 1e-3


@pytest.mark.parametrize(("b", "mass"), [(0.0, 0.5), (-0.253347, 0.4), (-0.674490, 0.25), (-0.841621, 0.2)])
def test_learned_proportion_of_an_axis_is_the_normal_distribution_at_its_boundary(b, mass):
    module = built(1, clusters=2, on="axes", learned=True)
    with torch.no_grad():
        module.cuts[0].shares.fill_(math.log((b + 4) / (4 - b)))
    proportions = module.proportions().detach()
    assert proportions[0].item() == pytest.approx(stats.norm.cdf(b), abs=1e-12)
    assert proportions.tolist() == pytest.approx([mass, 1 - mass], abs=1e-6)
    y_BD = gaussian(200_000, 1)
    left = (module(y_BD) < b).double().mean().item()  # each side of b stays on its side
    assert left == pytest.approx(mass, abs=4 * math.sqrt(mass * (1 - mass) / 200_000))


def test_least_mass_of_an_axis_cluster_is_that_of_b_minus_4():
    module = built(1, clusters=2, on="axes", learned=True)
    with torch.no_grad():
        module.cuts[0].shares.fill_(-100.0)
    assert module.proportions()[0].item() == pytest.approx(stats.norm.cdf(-4), rel=1e-9)


def test_axis_with_a_moved_boundary_keeps_the_untranslated_y():
    module = built(1, clusters=2, on="axes", learned=True)
    b = -0.6
    with torch.no_grad():
        module.cuts[0].shares.fill_(math.log((b + 4) / (4 - b)))
    y = gaussian(200, 1).numpy()
    expected = y + np.sign(y - b) * pushed(np.abs(y - b))
    assert np.allclose(module(torch.from_numpy(y)).detach(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "fields",
    [{"clusters": 5}, {"clusters": (5, 2)}, {"clusters": (3, 2), "c2": 0.5}, {"clusters": 8, "on": "axes"}],
)
def test_cluster_index_is_in_the_order_of_the_proportions(fields):
    """Masses made unequal; the share of prior samples in each cluster must follow them."""
    module = built(5, learned=True, **fields)
    for i, cut in enumerate(module.cuts):
        torch.nn.init.normal_(cut.shares, std=0.5, generator=torch.Generator().manual_seed(i))
    index_B = module.cluster(gaussian(100_000, 5))
    proportions = module.proportions().detach().numpy()
    counts = np.bincount(index_B.numpy(), minlength=len(proportions))
    assert len(set(proportions.round(6))) == len(proportions)
    assert stats.chisquare(counts, proportions / proportions.sum() * 100_000).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("fields", [{"clusters": k} for k in CLUSTERS] + [{"clusters": 4, "on": "axes"}])
def test_gradients_are_finite_at_the_origin_and_on_every_boundary(fields, learned, dtype):
    module = built(2, learned=learned, **fields).to(dtype)
    angle = 2 * math.pi * torch.arange(fields["clusters"]) / fields["clusters"]
    ray_BD = torch.stack([angle.cos(), angle.sin()], 1)
    y_BD = torch.cat([torch.zeros(1, 2), ray_BD, 1e-12 * ray_BD, 1e6 * ray_BD]).to(dtype).requires_grad_()
    module(y_BD).square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (y_BD, *module.parameters()))


@pytest.mark.parametrize("shares", SHARES)
def test_gradients_of_a_plane_equal_finite_differences(shares):
    module, y_BD = plane_with(shares), gaussian(20, 2).requires_grad_()

    def run(y_BD, shares_K):
        return torch.func.functional_call(module, {"cuts.0.shares": shares_K}, (y_BD,))

    assert torch.autograd.gradcheck(run, (y_BD, module.cuts[0].shares.detach().requires_grad_()), atol=1e-4)


@pytest.mark.parametrize("fields", [{"clusters": 5}, {"clusters": (5, 2)}, {"clusters": 4, "on": "axes"}])
def test_every_learned_share_receives_gradient(fields):
    module = built(4, learned=True, **fields)
    (module(gaussian(200, 4)) * gaussian(200, 4, seed=1)).sum().backward()
    assert all((parameter.grad != 0).all() for parameter in module.parameters())


def test_share_of_a_cluster_is_learned_from_where_its_points_should_go():
    """One boundary, moved by gradient alone until a quarter of the prior is on the left."""
    torch.manual_seed(0)
    module, y_BD = built(1, clusters=2, on="axes", learned=True), gaussian(2000, 1)
    target_BD = y_BD + 5 * (y_BD + 0.674490).sign() * (y_BD + 0.674490).abs() ** 0.2
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        (module(y_BD) - target_BD).square().mean().backward()
        optimizer.step()
    assert module.proportions()[0].item() == pytest.approx(0.25, abs=0.01)


def test_the_first_cuts_index_changes_slowest():
    cuts = built(4, clusters=[2, 3])
    first, second = ((torch.arange(n) + 0.5) * 2 * math.pi / n for n in (2, 3))
    angles = torch.cartesian_prod(first, second)
    y = torch.stack([angles[:, 0].cos(), angles[:, 0].sin(), angles[:, 1].cos(), angles[:, 1].sin()], 1)
    assert cuts.cluster(y).tolist() == list(range(6))
