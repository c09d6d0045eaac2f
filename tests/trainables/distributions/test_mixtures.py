"""Mixture priors, MoG-VAE and Vamp, against scipy, loops over components, and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from tests.support.small_runs import a_run
from trainables.distributions.likelihoods import SquaredError
from trainables.distributions.mixtures import ContextMixture, FixedMixture, Vamp, on_axes, on_frame
from trainables.learner import assemble
from trainables.methods.mog_vae import MoGVAE
from trainables.methods.vamp_vae import VampVAE
from trainables.networks.ard import ArdMnist
from trainables.noise import Noise
from trainables.train import Training

MEANS = torch.tensor([[-2.0, 0.5, 1.0], [3.0, 0.0, 0.0], [0.0, 0.0, -4.0]], dtype=torch.float64)
ROWS = 40_000


pytestmark = pytest.mark.usefixtures("float64")


def noise_of(rows, seed=0):
    return Noise(seed, rows=slice(0, rows), total=rows)


def images(rows, seed=0):
    return torch.rand(rows, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


def vamp_model(components=7, data_range=(0.0, 1.0)):
    """A model with batch norm, whose running statistics have seen some data."""
    torch.manual_seed(0)
    vae = assemble(VampVAE(components=components), ArdMnist(latent_dim=3), SquaredError(), images(5), data_range)
    vae.encode(images(20, seed=1))
    return vae


def by_loop(y_BD, means, log_variances):
    """log 1/K sum_k N(y; m_k, v_k), a component at a time."""
    parts = [
        stats.multivariate_normal.logpdf(y_BD.numpy(), mean.numpy(), np.diag(log_variance.exp().numpy()))
        for mean, log_variance in zip(means, log_variances, strict=True)
    ]
    return logsumexp(parts, axis=0) - math.log(len(parts))


def cdf_of_axis(axis, means, variances):
    return lambda y: np.mean(
        [stats.norm.cdf(y, m[axis], math.sqrt(v[axis])) for m, v in zip(means, variances, strict=True)], axis=0
    )


def test_log_prob_of_a_fixed_mixture_matches_scipy():
    prior = FixedMixture(MEANS, math.e)
    y_BD = 3 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(prior.log_prob(y_BD), by_loop(y_BD, MEANS, torch.ones(3, 3)), rtol=1e-12)


def test_log_prob_of_a_mixture_is_finite_far_away():
    assert FixedMixture(MEANS, 1.0).log_prob(torch.full((1, 3), 1e4)).isfinite().all()


@pytest.mark.parametrize("axis", range(3))
def test_samples_of_a_fixed_mixture_follow_its_density(axis):
    y_B = FixedMixture(MEANS, 0.5).sample(noise_of(ROWS))[:, axis].numpy()
    assert stats.kstest(y_B, cdf_of_axis(axis, MEANS, torch.full((3, 3), 0.5))).pvalue > 1e-3


def test_samples_of_a_fixed_mixture_have_its_covariance():
    """v I plus the covariance of the means: axes are dependent through the component they share."""
    y_BD = FixedMixture(MEANS, 0.5).sample(noise_of(ROWS)).numpy()
    expected = 0.5 * np.eye(3) + np.cov(MEANS.numpy().T, ddof=0)
    np.testing.assert_allclose(np.cov(y_BD.T), expected, atol=0.12)


def test_means_on_axes_are_those_of_the_official_code():
    assert on_axes(2, 1).tolist() == [[2], [-2]]
    assert on_axes(4, 3).tolist() == [[2, 0, 0], [-2, 0, 0], [0, 2, 0], [0, -2, 0]]


def test_means_on_a_frame_are_orthogonal_at_distance_two_and_the_same_in_every_run():
    means_KD = on_frame(10, 50)
    torch.testing.assert_close(means_KD @ means_KD.T, 4 * torch.eye(10))
    torch.manual_seed(5)
    assert torch.equal(on_frame(10, 50), means_KD)


@pytest.mark.parametrize(
    ("fields", "latent_dim", "wrong"),
    [
        ({}, 9, ["components"]),
        ({}, 10, []),
        ({"components": 2, "means": "axes"}, 1, []),
        ({"components": 3, "means": "axes"}, 6, ["components"]),
        ({"components": 14, "means": "axes"}, 6, ["components"]),
    ],
)
def test_means_that_have_no_room_are_a_mistake(fields, latent_dim, wrong):
    assert [path for path, _ in MoGVAE(**fields).mistakes(latent_dim, 100)] == wrong


def test_vamp_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs():
    vae = vamp_model().eval()
    y_BD = torch.randn(20, 3)
    with torch.no_grad():
        parts = [vae.encode(u_X[None].clamp(0, 1)) for u_X in vae.prior.pseudo_KX]
        found = vae.prior.log_prob(y_BD)
    expected = by_loop(y_BD, [q.mean_BD[0] for q in parts], [q.log_variance_BD[0] for q in parts])
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_vamp_in_training_encodes_as_in_evaluation_and_leaves_batch_norm_alone():
    vae, y_BD = vamp_model(), torch.randn(20, 3)
    before = {name: value.clone() for name, value in vae.named_buffers()}
    trained = vae.train().prior.log_prob(y_BD)
    assert all(torch.equal(value, before[name]) for name, value in vae.named_buffers())
    assert all(module.training for module in vae.modules())
    torch.testing.assert_close(vae.eval().prior.log_prob(y_BD), trained, rtol=0, atol=0)


def test_pseudo_inputs_start_from_the_training_rows_in_turn():
    noise_KX = (vamp_model().prior.pseudo_KX - images(5)[[0, 1, 2, 3, 4, 0, 1]]).detach()
    assert noise_KX.std().item() == pytest.approx(0.01, rel=0.05)
    assert noise_KX.mean().item() == pytest.approx(0.0, abs=5e-4)


def test_pseudo_inputs_of_the_official_code_start_from_a_normal_and_are_not_clipped():
    torch.manual_seed(0)
    method = VampVAE(components=50, pseudo_inputs="normal")
    prior = assemble(method, ArdMnist(latent_dim=3), SquaredError(), images(5), (0.0, 1.0)).prior
    pseudo = prior.pseudo_KX.detach()
    assert pseudo.shape == (50, *images(5).shape[1:])
    assert stats.kstest(pseudo.flatten().double().numpy(), "norm").pvalue > 1e-3
    seen = []
    prior.encode = lambda u_KX: seen.append(u_KX)
    prior.components()
    assert torch.equal(seen[0], prior.pseudo_KX) and seen[0].min() < -2


@pytest.mark.parametrize(("data_range", "clipped"), [((0.0, 1.0), True), (None, False)])
def test_pseudo_inputs_are_clipped_to_the_range_of_the_data(data_range, clipped):
    prior = Vamp(2, 3, torch.full((3, 2), 7.0), data_range, encode=lambda u_KX: u_KX)
    assert bool((prior.components() == 1).all()) == clipped


def test_gradient_of_the_vamp_prior_reaches_pseudo_inputs_and_encoder():
    vae = vamp_model()
    vae.prior.log_prob(torch.randn(4, 3)).sum().backward()
    assert (vae.prior.pseudo_KX.grad.flatten(1).norm(dim=1) > 0).all()
    assert any(value.grad.norm() > 0 for value in vae.encoder.parameters())


def test_the_prior_registers_no_copy_of_the_encoder():
    vae = vamp_model()
    assert [name for name, _ in vae.prior.named_parameters()] == ["pseudo_KX"]


def test_samples_of_vamp_follow_its_density():
    vae = vamp_model().eval()
    with torch.no_grad():
        parts, y_BD = vae.prior.components(), vae.prior.sample(noise_of(ROWS)).numpy()
    for axis in range(3):
        cdf = cdf_of_axis(axis, parts.mean_BD, parts.log_variance_BD.exp())
        assert stats.kstest(y_BD[:, axis], cdf).pvalue > 1e-3


def loss_of(run):
    training = Training(run)
    x, noise, _ = next(training.batches(torch.arange(32), "train"))
    seen = training.learner.vae(x, noise)
    return seen, sum(weight * value for weight, value in run.method.terms(seen).values())


@pytest.mark.parametrize("named", ["mog_vae", "vamp_vae"])
def test_the_rate_is_log_q_less_log_p_of_the_sample(named):
    run = a_run(named)
    seen, loss_B = loss_of(run)
    q = stats.norm(seen.q.mean_BD.detach(), (0.5 * seen.q.log_variance_BD).exp().detach())
    rate_B = q.logpdf(seen.y_BD.detach()).sum(1) - seen.vae.prior.log_prob(seen.y_BD).detach().numpy()
    expected = seen.decoded.nll(seen.x_BX).detach().numpy() + run.method.beta * rate_B
    np.testing.assert_allclose(loss_B.detach(), expected, rtol=1e-9)


def test_entropy_weight_of_the_latent_dimension_is_the_official_loss_up_to_a_constant():
    """The code's log q is -1/2 sum (y - m)^2 / v - L/2 (log 2 pi + sum_l log v_l)."""
    seen, loss_B = loss_of(a_run(method={"name": "mog_vae", "components": 4, "beta": 0.5, "entropy_weight": 6.0}))
    eps_BD = (seen.y_BD - seen.q.mean_BD) / (0.5 * seen.q.log_variance_BD).exp()
    log_q_B = -0.5 * eps_BD.square().sum(1) - 3 * (math.log(2 * math.pi) + seen.q.log_variance_BD.sum(1))
    official_B = seen.decoded.nll(seen.x_BX) + 0.5 * (log_q_B - seen.vae.prior.log_prob(seen.y_BD))
    torch.testing.assert_close(loss_B, official_B)


@pytest.mark.parametrize(("generate", "spread"), [("prior", 0.01), ("normal", 1.0)])
def test_generation_is_from_the_mixture_or_from_the_normal_as_asked(generate, spread):
    run = a_run(method={"name": "mog_vae", "components": 4, "variance": 1e-4, "generate": generate, "means": "axes"})
    vae = Training(run).learner.vae
    z_BL = run.method.sampler(vae, None, 0)(noise_of(2000))
    assert z_BL[:, 5].std().item() == pytest.approx(spread, rel=0.1)


@pytest.fixture
def context_mixture():
    """x of one dimension, w of one, three clusters that move with w."""
    torch.manual_seed(3)
    prior = ContextMixture(1, 1, components=3, hidden=8)
    prior.mean.weight.data *= 3
    prior.mean.bias.data = torch.tensor([-3.0, 0.0, 2.0])
    return prior.requires_grad_(False)


def grid_of(prior):
    """Points y = (x, w), the density there, and the area of a cell."""
    x, w = torch.linspace(-12, 12, 601), torch.linspace(-6, 6, 121)
    y_BD = torch.cartesian_prod(x, w)
    return y_BD.numpy(), prior.log_prob(y_BD).exp().numpy(), float((x[1] - x[0]) * (w[1] - w[0]))


def test_log_prob_of_a_context_mixture_matches_scipy(context_mixture):
    y_BD = 2 * torch.randn(9, 2)
    for y_D, found in zip(y_BD, context_mixture.log_prob(y_BD), strict=True):
        mean_BKL, log_variance_BKL = context_mixture.components(y_D[None, 1:])
        deviation = log_variance_BKL.div(2).exp().flatten()
        parts = stats.norm.logpdf(y_D[0].item(), mean_BKL.flatten(), deviation)
        expected = stats.norm.logpdf(y_D[1].item()) + logsumexp(parts) - math.log(3)
        assert found.item() == pytest.approx(expected, rel=1e-10)


def test_density_of_a_context_mixture_integrates_to_one(context_mixture):
    _, density, cell = grid_of(context_mixture)
    assert density.sum() * cell == pytest.approx(1.0, abs=1e-6)


def test_samples_of_a_context_mixture_have_the_moments_of_its_density(context_mixture):
    y_BD = context_mixture.sample(noise_of(ROWS)).numpy()
    at, density, cell = grid_of(context_mixture)
    for power_x, power_w in [(1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (1, 1), (2, 1)]:
        drawn = y_BD[:, 0] ** power_x * y_BD[:, 1] ** power_w
        expected = (at[:, 0] ** power_x * at[:, 1] ** power_w * density).sum() * cell
        assert drawn.mean() == pytest.approx(expected, abs=4.5 * drawn.std() / math.sqrt(ROWS))


def test_variances_of_a_context_mixture_stay_within_bounds(context_mixture):
    context_mixture.log_variance.bias.data = torch.tensor([-1e3, 0.0, 1e3])
    assert context_mixture.components(torch.zeros(1, 1))[1].flatten()[[0, 2]].tolist() == [-6.0, 6.0]
