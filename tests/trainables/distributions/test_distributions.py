"""Posteriors, priors, divergences and likelihoods against scipy, torch.distributions and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from trainables.distributions.divergences import gaussian_kl, kl
from trainables.distributions.likelihoods import Bernoulli, Gaussian, Laplace, SquaredError
from trainables.distributions.posteriors import Draw, Point
from trainables.distributions.posteriors import Gaussian as GaussianPosterior
from trainables.distributions.priors import ARD, Normal, StudentTARD
from trainables.noise import Noise

pytestmark = pytest.mark.usefixtures("float64")


def posterior(rows=5, dim=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    return GaussianPosterior(torch.randn(rows, dim, generator=g), torch.randn(rows, dim, generator=g))


def ard(rows=1000, dim=3, kind=ARD, seed=1):
    prior = kind(dim)
    z = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)) * torch.arange(1, dim + 1) + 0.3
    prior.absorb(prior.statistics(z))
    return prior, z


def test_kl_to_the_normal_prior_matches_torch_distributions():
    q = posterior()
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean_BD, (0.5 * q.log_variance_BD).exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum(1)
    torch.testing.assert_close(kl(q, Normal(3), Draw(q.mean_BD)), theirs, rtol=1e-12, atol=0)


def test_kl_to_the_ard_prior_matches_torch_distributions():
    q, (prior, _) = posterior(), ard()
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(q.mean_BD, (0.5 * q.log_variance_BD).exp()),
        torch.distributions.Normal(0.0, prior.variance_D.sqrt()),
    ).sum(1)
    torch.testing.assert_close(kl(q, prior, Draw(q.mean_BD)), theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize("prior", [Normal(3), ard()[0]], ids=["normal", "ard"])
def test_closed_form_kl_matches_monte_carlo(prior):
    q = posterior()
    draws = 40_000
    eps = torch.randn(draws, 5, 3, generator=torch.Generator().manual_seed(2))
    y = q.mean_BD + (0.5 * q.log_variance_BD).exp() * eps
    sampled = torch.stack([q.log_prob(some) - prior.log_prob(some) for some in y])
    error = sampled.std(0) / math.sqrt(draws)
    assert ((kl(q, prior, Draw(q.mean_BD)) - sampled.mean(0)).abs() < 4.5 * error).all()


def test_kl_is_invariant_when_an_axis_and_its_variance_are_rescaled_together():
    q, s, c = posterior(), torch.tensor([0.5, 2.0, 3.0]), torch.tensor([0.1, 7.0, 1.0])
    before = gaussian_kl(q.mean_BD, q.log_variance_BD, s)
    after = gaussian_kl(c * q.mean_BD, q.log_variance_BD + 2 * c.log(), c.square() * s)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


def test_ard_statistics_are_the_second_moment_about_zero():
    prior, z = ard(rows=777)
    np.testing.assert_allclose(prior.variance_D.numpy(), (z.numpy() ** 2).mean(0), rtol=1e-13)
    assert float(prior.a) == 777 / 2


def test_ard_statistics_add_up_over_shares():
    _, z = ard(rows=777)
    prior = ARD(3)
    parts = [prior.statistics(some) for some in z.split([100, 0, 677])]
    prior.absorb({name: sum(part[name] for part in parts) for name in parts[0]})
    np.testing.assert_allclose(prior.variance_D.numpy(), (z.numpy() ** 2).mean(0), rtol=1e-13)


def test_no_gradient_reaches_the_ard_prior():
    prior, _ = ard()
    assert not any(value.requires_grad for value in [prior.a, prior.b_D, prior.variance_D])
    assert not list(prior.parameters())


def test_ard_variance_never_vanishes():
    prior = ARD(2)
    prior.absorb(prior.statistics(torch.zeros(10, 2)))
    assert (prior.variance_D == 1e-8).all()
    assert kl(posterior(dim=2), prior, Draw(torch.zeros(5, 2))).isfinite().all()


@pytest.mark.parametrize("rows", [4, 50, 10_000])
def test_student_t_prior_matches_scipy(rows):
    prior, z = ard(rows=rows, kind=StudentTARD)
    theirs = sum(stats.t.logpdf(z[:, d].numpy(), df=rows, scale=math.sqrt(prior.variance_D[d])) for d in range(3))
    np.testing.assert_allclose(prior.log_prob(z).numpy(), theirs, rtol=1e-9)


def test_student_t_prior_is_the_gamma_mixture_of_gaussians():
    n, square = 6, 9.0
    prior = StudentTARD(1)
    prior.absorb({"rows": torch.tensor(float(n)), "square_D": torch.tensor([square])})
    precision = stats.gamma(a=n / 2, scale=2 / square)
    for y in (0.0, 0.7, 3.0):
        mixture, _ = integrate.quad(lambda p, y=y: stats.norm.pdf(y, scale=p**-0.5) * precision.pdf(p), 0, np.inf)
        assert prior.log_prob(torch.tensor([[y]])).exp().item() == pytest.approx(mixture, rel=1e-7)


def test_student_t_prior_tends_to_the_gaussian():
    gaps = []
    for rows in (10, 100, 1000, 10_000):
        gaussian, z = ard(rows=rows)
        student, _ = ard(rows=rows, kind=StudentTARD)
        at = torch.linspace(-2, 2, 9)[:, None].expand(9, 3) * gaussian.variance_D.sqrt()
        gaps.append((gaussian.log_prob(at) - student.log_prob(at)).abs().max().item())
    assert all(later < earlier / 5 for earlier, later in zip(gaps, gaps[1:], strict=False))
    assert gaps[-1] < 1e-3


def test_student_t_kl_exceeds_the_gaussian_kl_by_the_first_term_of_its_expansion():
    """log t - log N = (y^4 - 2 y^2 - 1) / (4 nu) + O(nu^-2), so for q = N(0, s^2): (1 + 2 s^2 - 3 s^4) / (4 nu)."""
    s, y = 0.3, np.linspace(-4, 4, 100_001)
    for freedom in (1000, 10_000):
        prior = StudentTARD(1)
        prior.absorb({"rows": torch.tensor(float(freedom)), "square_D": torch.tensor([float(freedom)])})
        log_p = prior.log_prob(torch.from_numpy(y)[:, None]).numpy()
        excess = np.trapezoid(stats.norm.pdf(y, scale=s) * (stats.norm.logpdf(y) - log_p), y)
        assert excess == pytest.approx((1 + 2 * s**2 - 3 * s**4) / (4 * freedom), rel=2 / freedom)


def test_point_has_all_its_mass_on_the_mean():
    q = Point.of(torch.randn(4, 3))
    assert (q.draw(Noise(0, rows=slice(0, 4), total=4)).y_BD == q.mean_BD).all()


def test_posterior_samples_have_the_stated_moments():
    q = GaussianPosterior(torch.full((200_000, 1), 1.5), torch.full((200_000, 1), math.log(0.25)))
    y = q.draw(Noise(0, rows=slice(0, 200_000), total=200_000)).y_BD
    assert y.mean().item() == pytest.approx(1.5, abs=4.5 * 0.5 / math.sqrt(200_000))
    assert y.std().item() == pytest.approx(0.5, rel=0.01)


def test_log_variance_is_clamped():
    q = GaussianPosterior.of(torch.tensor([[0.0, 1e6], [0.0, -1e6]]))
    assert q.log_variance_BD.flatten().tolist() == [20.0, -20.0]


def test_noise_of_a_row_does_not_depend_on_who_computes_it():
    whole = Noise(3, "train", 1, 2, rows=slice(0, 7), total=7).normal("posterior", 4)
    shares = [
        Noise(3, "train", 1, 2, rows=rows, total=7).normal("posterior", 4)
        for rows in (slice(0, 2), slice(2, 2), slice(2, 7))
    ]
    assert (torch.cat(shares) == whole).all()


def test_noise_differs_between_seeds_epochs_steps_and_streams():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    draws = [Noise(*key, rows=slice(0, 5), total=5).normal("a", 3) for key in keys]
    draws.append(Noise(0, 0, 0, rows=slice(0, 5), total=5).normal("b", 3))
    assert all((a != b).all() for i, a in enumerate(draws) for b in draws[:i])


def test_noise_under_other_words_or_shared_by_all_is_independent():
    noise = Noise(3, rows=slice(5), total=5)
    kinds = [noise, noise.under("kl", 0), noise.under("kl", 1), noise.under("x", 0), noise.shared(5)]
    draws = [kind.normal("a", 3) for kind in kinds]
    assert all((a != b).all() for i, a in enumerate(draws) for b in draws[:i])


def test_ard_prior_is_sampled_with_its_variances():
    prior, _ = ard()
    y = prior.sample(Noise(0, rows=slice(50_000), total=50_000))
    np.testing.assert_allclose(y.square().mean(0), prior.variance_D, rtol=4.5 * math.sqrt(2 / 50_000))


@pytest.mark.parametrize("rows", [1, 3, 40, 10_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_student_t_prior_is_sampled_with_its_own_density(rows, dtype):
    torch.set_default_dtype(dtype)
    prior, _ = ard(rows=rows, kind=StudentTARD)
    y = prior.sample(Noise(0, rows=slice(50_000), total=50_000)).double().numpy()
    scale = prior.variance_D.sqrt().double().numpy()
    for axis in range(3):
        assert stats.kstest(y[:, axis], stats.t(rows, scale=scale[axis]).cdf).pvalue > 1e-3
        assert (stats.kstest(y[:, axis], stats.norm(scale=scale[axis]).cdf).pvalue < 1e-6) == (rows < 40)
    assert np.abs(stats.spearmanr(y).statistic - np.eye(3)).max() < 0.02  # axes are independent
    whole, part = (prior.sample(Noise(0, rows=rows, total=9)) for rows in (slice(9), slice(2, 5)))
    torch.testing.assert_close(part, whole[2:5])


RAW = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
X = torch.rand(6, 2, 3, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def test_squared_error_is_a_gaussian_of_variance_one_half_less_its_constant():
    decoded = SquaredError().of(RAW, (0.0, 1.0))
    log_p = stats.norm.logpdf(X.numpy(), loc=torch.sigmoid(RAW).numpy(), scale=math.sqrt(0.5)).sum((1, 2, 3))
    np.testing.assert_allclose(decoded.nll(X).numpy(), -log_p - 18 / 2 * math.log(math.pi), rtol=1e-12)


def test_linear_squared_errors_are_of_the_decoders_output_as_it_is():
    decoded = SquaredError(linear=True).of(RAW, (0.0, 1.0))
    assert torch.equal(decoded.mean_BX, RAW)
    np.testing.assert_allclose(decoded.nll(X), ((X - RAW) ** 2).numpy().sum((1, 2, 3)), rtol=1e-12)
    assert [SquaredError(linear=linear).squashed for linear in (True, False)] == [False, True]


def test_bernoulli_matches_the_cross_entropy_of_its_mean():
    decoded = Bernoulli().of(RAW, (0.0, 1.0))
    p, x = decoded.mean_BX.numpy(), X.numpy()
    np.testing.assert_allclose(
        decoded.nll(X).numpy(), -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3)), rtol=1e-12
    )


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_laplace_matches_scipy(scale):
    decoded = Laplace(scale=scale).of(RAW, (-1.0, 1.0))
    log_p = stats.laplace.logpdf(X.numpy(), loc=torch.tanh(RAW).numpy(), scale=scale).sum((1, 2, 3))
    np.testing.assert_allclose(decoded.nll(X).numpy(), -log_p, rtol=1e-12)


def test_gaussian_with_learned_variance_matches_scipy():
    decoded = Gaussian().of(RAW, None)
    mean, log_variance = RAW[:, :1].numpy(), RAW[:, 1:].numpy()
    log_p = stats.norm.logpdf(X[:, :1].numpy(), loc=mean, scale=np.exp(log_variance / 2)).sum((1, 2, 3))
    np.testing.assert_allclose(decoded.nll(X[:, :1]).numpy(), -log_p, rtol=1e-12)
    noise = decoded.sample(torch.ones_like(X[:, :1])) - decoded.mean_BX
    np.testing.assert_allclose(noise.numpy(), np.exp(log_variance / 2), rtol=1e-12)


def test_a_learned_log_variance_is_clamped():
    decoded = Gaussian().of(torch.tensor([[0.0, 1e6], [0.0, -1e6]]), None)
    assert decoded.log_variance_BX.flatten().tolist() == [20.0, -20.0]
    assert decoded.nll(torch.ones(2, 1)).isfinite().all()


def test_log_prob_is_the_density_whatever_the_loss_leaves_out_or_weighs():
    spec, x = Gaussian(log_variance_weight=2.0), X[:, :1]
    density = Gaussian().of(RAW, None).log_prob(x)
    torch.testing.assert_close(spec.of(RAW, None).log_prob(x), density, rtol=0, atol=0)
    log_p = stats.norm.logpdf(X.numpy(), loc=torch.sigmoid(RAW).numpy(), scale=math.sqrt(0.5)).sum((1, 2, 3))
    np.testing.assert_allclose(SquaredError().of(RAW, (0.0, 1.0)).log_prob(X), log_p, rtol=1e-12)


@pytest.mark.parametrize(("data_range", "low", "high"), [((0.0, 1.0), 0, 1), ((-1.0, 1.0), -1, 1), (None, -1e3, 1e3)])
def test_decoded_mean_fills_the_range_of_the_data(data_range, low, high):
    mean = SquaredError().of(torch.tensor([[-1e3, 1e3]]), data_range).mean_BX
    assert mean.tolist() == [[low, high]]
