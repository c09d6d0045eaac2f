"""DD-VAE: its prior, its posterior, and that it is the VAE where it should be."""

# Shapes: B rows, L latent dimensions.

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from tests.support.losses import total
from tests.support.small_runs import a_run
from trainables.distributions import mmd
from trainables.distributions.divergences import kl
from trainables.distributions.likelihoods import Laplace
from trainables.distributions.posteriors import SoftplusGaussian
from trainables.distributions.priors import Normal, SparseMixture
from trainables.methods.dd_vae import DDVAE
from trainables.methods.vae import VAE
from trainables.noise import Noise
from trainables.train import Training, train


def noise_of(rows, seed=0):
    return Noise(seed, rows=slice(rows), total=rows)


def cdf(gamma):
    return lambda y: gamma * stats.norm.cdf(y, scale=0.05) + (1 - gamma) * stats.norm.cdf(y)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.8, 1.0])
def test_log_density_of_the_prior_matches_scipy(float64, gamma):
    y = torch.cat([torch.linspace(-0.4, 0.4, 20), torch.linspace(-8, 8, 20)]).reshape(10, 4)
    with np.errstate(divide="ignore"):
        parts = [
            np.log(gamma) + stats.norm.logpdf(y.numpy(), scale=0.05),
            np.log(1 - gamma) + stats.norm.logpdf(y.numpy()),
        ]
    np.testing.assert_allclose(SparseMixture(4, gamma).log_prob(y), np.logaddexp(*parts).sum(1), rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.8, 1.0])
def test_gradient_of_the_log_density_is_finite_for_every_weight(float64, gamma):
    y = torch.tensor([[0.0, 0.05, -3.0, 1e3]], requires_grad=True)
    SparseMixture(4, gamma).log_prob(y).sum().backward()
    assert y.grad.isfinite().all()


def test_the_prior_is_a_density(float64):
    def density(y):
        return SparseMixture(1, 0.8).log_prob(torch.tensor([[y]])).exp().item()

    assert 2 * integrate.quad(density, 0, 9, points=[0.05, 0.2, 0.5], limit=200)[0] == pytest.approx(1, abs=1e-8)


def test_samples_of_the_prior_follow_its_distribution():
    y = SparseMixture(2, 0.8).sample(noise_of(20_000)).flatten().double().numpy()
    assert stats.kstest(y, cdf(0.8)).pvalue > 1e-3
    assert y.var() == pytest.approx(0.8 * 0.05**2 + 0.2, rel=0.05)


def test_a_prior_without_a_spike_is_the_normal(float64):
    y = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SparseMixture(3, 0.0).log_prob(y), Normal(3).log_prob(y), rtol=1e-13, atol=1e-13)
    assert torch.equal(SparseMixture(3, 0.0).sample(noise_of(5)), Normal(3).sample(noise_of(5)))


def test_second_half_of_the_encoders_output_is_the_deviation_before_its_softplus(float64):
    q = SoftplusGaussian.of(torch.tensor([[0.5, 1.5, -1000.0, 2.0]]))
    assert q.mean_BD.tolist() == [[0.5, 1.5]]
    deviation = (0.5 * q.log_variance_BD).exp().flatten().tolist()
    assert deviation == pytest.approx([1e-6, math.log1p(math.exp(2.0)) + 1e-6], rel=1e-12)


def test_posterior_of_a_closed_softplus_has_a_finite_gradient():
    features = torch.tensor([[0.5, -1000.0], [0.5, 1000.0]], requires_grad=True)
    drawn = SoftplusGaussian.of(features).draw(noise_of(2))
    (drawn.y_BD.sum() + drawn.log_q().sum()).backward()
    assert features.grad.isfinite().all()


def test_loss_is_the_papers():
    """-log p(x|z) + beta (log q(z|x) - log p(z)) + alpha R, all of one sample."""
    training = Training(a_run(method={"name": "dd_vae", "alpha": 7.0, "beta": 0.5}))
    x, noise, rows = next(training.batches(torch.arange(32), "train"))
    learner = training.learner
    terms, seen = learner(x, noise), learner.vae(x, noise)
    z, deviation = seen.z_BL.detach().numpy(), (seen.q.log_variance_BD / 2).exp().detach().numpy()
    log_q = stats.norm.logpdf(z, loc=seen.q.mean_BD.detach().numpy(), scale=deviation).sum(1)
    log_p = np.log(0.8 * stats.norm.pdf(z, scale=0.05) + 0.2 * stats.norm.pdf(z)).sum(1)
    discrepancy = mmd.AXIS_BY_AXIS.between(seen.z_BL, seen.vae.prior.sample(noise.shared(rows)))
    by_hand = seen.decoded.nll(x).mean() + 0.5 * (log_q - log_p).mean() + 7 * discrepancy
    assert total(terms, rows).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_without_spike_and_mmd_it_is_the_vae_with_the_same_posterior(monkeypatch):
    """The plain VAE, given this posterior, has no closed form for its KL and takes the same sample."""
    *_, ours = train(a_run(method={"name": "dd_vae", "gamma": 0.0, "alpha": 0.0}))
    monkeypatch.setattr(VAE, "posterior", lambda self: SoftplusGaussian)
    *_, vae = train(a_run("vae"))
    for name in ("train/loss", "train/nll", "train/kl", "val/loss", "val/elbo", "val/mse", "val/kl"):
        assert ours.metrics[name] == pytest.approx(vae.metrics[name], rel=1e-4), name


def test_without_spike_the_sampled_kl_is_the_vaes_closed_form_in_the_mean(float64):
    features = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    many = features.repeat_interleave(20_000, 0)
    q = SoftplusGaussian.of(many)
    sampled = kl(q, SparseMixture(3, 0.0), q.draw(noise_of(len(many)))).reshape(4, -1)
    mean, log_variance = q.mean_BD[::20_000], q.log_variance_BD[::20_000]
    closed = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
    error = sampled.std(1) / math.sqrt(20_000)
    assert ((sampled.mean(1) - closed).abs() < 4.5 * error).all()


def test_a_weight_on_the_mmd_brings_all_codes_nearer_to_the_prior():
    distances = []
    for alpha in (0.0, 1000.0):
        method = {"name": "dd_vae", "alpha": alpha, "beta": 0.0}
        *_, report = train(a_run(method=method, epochs=6, optimizer={"lr": 0.01}))
        distances.append(report.metrics["train/mmd"])
    assert distances[1] < 0.5 * distances[0]


def test_defaults_are_the_papers():
    method = DDVAE()
    assert (method.gamma, method.alpha, method.beta) == (0.8, 100.0, 1.0)


def test_linear_laplace_leaves_the_decoders_output_as_it_is():
    raw, x = torch.tensor([[-2.0, 0.3, 4.0]]), torch.tensor([[0.0, 0.5, 1.0]])
    decoded = Laplace(scale=0.1, linear=True).of(raw, (0.0, 1.0))
    assert torch.equal(decoded.mean_BX, raw)
    expected = -stats.laplace.logpdf(x.numpy(), loc=raw.numpy(), scale=0.1).sum(1)
    np.testing.assert_allclose(decoded.nll(x).numpy(), expected, rtol=1e-5)
    assert Laplace(scale=0.1).of(raw, (0.0, 1.0)).mean_BX.max() < 1
