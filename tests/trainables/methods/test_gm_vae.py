"""GM-VAE's objective against quadrature, loops over clusters, and Monte Carlo."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Normal, kl_divergence

from tests.support.small_runs import a_run
from trainables.distributions.mixtures import ContextMixture, pieces_of
from trainables.distributions.posteriors import Gaussian
from trainables.noise import Noise
from trainables.train import Training

ROWS = 40_000
SD = 0.5  # of the data around the decoded x, in the one-dimensional model


pytestmark = pytest.mark.usefixtures("float64")


def prior_of(latent_dim, context_dim, components=3):
    torch.manual_seed(3)
    prior = ContextMixture(latent_dim, context_dim, components, hidden=8)
    prior.mean.weight.data *= 3
    prior.mean.bias.data = 2 * torch.randn(components * latent_dim)
    return prior.requires_grad_(False)


def drawn_from(mean, log_variance, rows=ROWS):
    """The same posterior in every row, and a sample of each."""
    q = Gaussian(torch.tensor([mean]).expand(rows, -1), torch.tensor([log_variance]).expand(rows, -1))
    return q, q.draw(Noise(0, rows=slice(0, rows), total=rows)).y_BD


def log_marginal(prior, data):
    """log p(data) = log of the integral of p(x, w) N(data; x, SD^2) over a grid of x and w."""
    x, w = torch.linspace(-12, 12, 601), torch.linspace(-6, 6, 121)
    y_BD = torch.cartesian_prod(x, w)
    density = prior.log_prob(y_BD).exp().numpy() * stats.norm.pdf(data, y_BD[:, 0], SD)
    return math.log(density.sum() * float((x[1] - x[0]) * (w[1] - w[0])))


def bound_of(prior, data, mean, log_variance):
    """Monte Carlo mean of GM-VAE's bound on log p(data), and the mean's standard error."""
    q, y_BD = drawn_from(mean, log_variance)
    bound_B = stats.norm.logpdf(data, y_BD[:, 0], SD) - sum(pieces_of(q, prior, y_BD)).numpy()
    return bound_B.mean(), bound_B.std() / math.sqrt(ROWS)


def test_pieces_match_a_loop_over_clusters():
    prior = prior_of(2, 2)
    torch.manual_seed(0)
    q = Gaussian(torch.randn(6, 4), torch.randn(6, 4))
    y_BD = 2 * torch.randn(6, 4)
    mean_BKL, log_variance_BKL = prior.components(y_BD[:, 2:])
    clusters = [Normal(mean_BKL[:, k], log_variance_BKL[:, k].div(2).exp()) for k in range(3)]
    chance_BK = torch.stack([cluster.log_prob(y_BD[:, :2]).sum(1).exp() for cluster in clusters], 1)
    chance_BK /= chance_BK.sum(1, keepdim=True)
    posterior = Normal(q.mean_BD, q.log_variance_BD.div(2).exp())
    of_x, of_w = (Normal(posterior.mean[:, some], posterior.stddev[:, some]) for some in (slice(2), slice(2, 4)))
    code_B = sum(chance_BK[:, k] * kl_divergence(of_x, clusters[k]).sum(1) for k in range(3))
    pieces = pieces_of(q, prior, y_BD)
    torch.testing.assert_close(pieces.code, code_B)
    torch.testing.assert_close(pieces.context, kl_divergence(of_w, Normal(0.0, 1.0)).sum(1))
    np.testing.assert_allclose(pieces.component, math.log(3) - stats.entropy(chance_BK, axis=1), rtol=1e-9)


@pytest.mark.parametrize("data", [-2.0, 0.5, 3.0])
@pytest.mark.parametrize(("mean", "log_variance"), [([0.5, 0.3], [-1.5, 0.0]), ([-1.5, -0.5], [-3.0, -1.0])])
def test_bound_is_below_the_marginal(data, mean, log_variance):
    prior = prior_of(1, 1)
    bound, error = bound_of(prior, data, mean, log_variance)
    assert bound + 4.5 * error < log_marginal(prior, data)


def test_bound_is_the_marginal_where_clusters_coincide_and_the_posterior_is_exact():
    prior, data = prior_of(1, 1), 1.3
    for head, bias in ((prior.mean, 0.7), (prior.log_variance, math.log(0.8))):
        head.weight.data.zero_()
        head.bias.data.fill_(bias)
    variance = 1 / (1 / 0.8 + 1 / SD**2)
    mean = variance * (0.7 / 0.8 + data / SD**2)
    bound, error = bound_of(prior, data, [mean, 0.0], [math.log(variance), 0.0])
    assert bound == pytest.approx(log_marginal(prior, data), abs=4.5 * error)
    assert log_marginal(prior, data) == pytest.approx(stats.norm.logpdf(data, 0.7, math.sqrt(0.8 + SD**2)), abs=1e-8)


def test_rate_exceeds_the_exact_one_by_the_covariances_of_cluster_and_density():
    """At one w, over samples x: code + component less log q(x) - log p(x|w)."""
    prior = prior_of(1, 1)
    q, y_BD = drawn_from([0.5, 0.3], [0.5, 0.0])
    y_BD[:, 1] = 0.3
    of_x = Gaussian(q.mean_BD[:, :1], q.log_variance_BD[:, :1])
    exact_B = of_x.log_prob(y_BD[:, :1]) - prior.log_prob(y_BD) + prior.context.log_prob(y_BD[:, 1:])
    pieces, log_parts_BK = pieces_of(q, prior, y_BD), prior.log_parts(y_BD)
    chance_BK = log_parts_BK.softmax(1)
    covariance = sum(float(torch.cov(torch.stack([chance_BK[:, k], log_parts_BK[:, k]]))[0, 1]) for k in range(3))
    excess_B = pieces.code + pieces.component - exact_B
    assert covariance > 0.05
    assert excess_B.mean().item() == pytest.approx(covariance, abs=4.5 * excess_B.std().item() / math.sqrt(ROWS))


def seen_by(**fields):
    run = a_run(method={"name": "gm_vae", "components": 3, "context_dim": 2, "hidden": 8} | fields)
    training = Training(run)
    x, noise, _ = next(training.batches(torch.arange(32), "train"))
    return training.learner.vae, training.learner.vae(x, noise), run.method


def test_the_code_has_the_context_beside_the_latents_and_only_latents_are_decoded():
    vae, seen, method = seen_by()
    assert seen.y_BD.shape == (32, 8)
    assert torch.equal(seen.z_BL, seen.y_BD[:, :6])
    assert vae.represent(seen.x_BX).shape == (32, 6)
    assert method.sampler(vae, None, 0)(Noise(0, rows=slice(0, 4), total=4)).shape == (4, 6)


def test_the_rate_is_the_sum_of_the_pieces():
    vae, seen, method = seen_by()
    terms = method.terms(seen)
    assert terms.keys() == {"nll", "kl"}
    torch.testing.assert_close(terms["kl"][1], sum(pieces_of(seen.q, vae.prior, seen.y_BD)))


def test_free_nats_are_the_least_that_a_row_pays_for_its_cluster():
    vae, seen, method = seen_by(free_nats=0.02)
    pieces, terms = pieces_of(seen.q, vae.prior, seen.y_BD), method.terms(seen)
    assert 0 < (pieces.component < 0.02).sum() < 32
    paid_B = sum(weight * value for weight, value in terms.values()) - terms["nll"][1]
    torch.testing.assert_close(paid_B, pieces.code + pieces.context + pieces.component.clamp_min(0.02))
