"""The importance-weighted log-likelihood, and likelihoods with their constants."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.support.small_runs import METHODS, a_run
from trainables.common.errors import Undefined
from trainables.distributions.divergences import kl
from trainables.distributions.likelihoods import Bernoulli, Gaussian, Laplace, SquaredError
from trainables.metrics.iwae import iwae, log_likelihood
from trainables.noise import Noise
from trainables.train import Training, train

ROWS, X, L = 40, 5, 2
WITHOUT = {"rae", "wae_mmd", "mask_aae", "vimae", "sparse_vae"}


def test_squared_errors_log_density_is_the_gaussians_with_its_constant():
    g = torch.Generator().manual_seed(0)
    raw, x = torch.randn(2, 6, 2, 3, 3, generator=g, dtype=torch.float64)
    expected = stats.norm.logpdf(x.numpy(), loc=torch.sigmoid(raw).numpy(), scale=math.sqrt(0.5)).sum((1, 2, 3))
    np.testing.assert_allclose(SquaredError().of(raw, (0.0, 1.0)).log_prob(x).numpy(), expected, rtol=1e-12)
    assert SquaredError().of(raw[:0], None).log_prob(x[:0]).shape == (0,)


def test_other_likelihoods_log_densities_match_scipy():
    g = torch.Generator().manual_seed(1)
    raw, x = torch.randn(6, 4, generator=g, dtype=torch.float64), torch.rand(6, 4, generator=g, dtype=torch.float64)
    half, coin = x[:, :2], x.round()
    cases = {
        Bernoulli(): (coin, stats.bernoulli.logpmf(coin, torch.sigmoid(raw))),
        Laplace(scale=0.3): (x, stats.laplace.logpdf(x, raw, 0.3)),
        Gaussian(): (half, stats.norm.logpdf(half, raw[:, :2], (raw[:, 2:] / 2).exp())),
    }
    for likelihood, (at, expected) in cases.items():
        np.testing.assert_allclose(likelihood.of(raw, None).log_prob(at).numpy(), expected.sum(1), rtol=1e-12)


def linear(tmp_path, shift=0.0, scale=1.0):
    """A linear VAE x = W z + b + N(0, I/2), its rows, and log p(x) = log N(b, W W' + I/2) of each.

    W's columns are orthogonal, so that the posterior has a diagonal covariance: q is it, moved by `shift` and
    stretched by `scale`.
    """
    rng = np.random.default_rng(0)
    w = np.linalg.qr(rng.normal(size=(X, L)))[0] * [1.5, 0.7]
    b = rng.normal(size=X)
    x = rng.normal(size=(10 * ROWS, L)) @ w.T + b + math.sqrt(0.5) * rng.normal(size=(10 * ROWS, X))
    np.save(tmp_path / "x.npy", x)
    data = {"name": "array", "path": str(tmp_path / "x.npy")}
    training = Training(a_run(data=data, network={"name": "mlp", "hidden": [], "latent_dim": L}))
    vae = training.learner.vae
    assert vae.data_range is None
    variance = 1 / (1 + 2 * (w**2).sum(0))
    encoder, decoder = vae.encoder[-1], vae.decoder[0]
    project = 2 * variance[:, None] * w.T
    encoder.weight.data = torch.from_numpy(np.vstack([project, np.zeros((L, X))]))
    encoder.bias.data = torch.from_numpy(np.concatenate([shift - project @ b, np.log(variance * scale)]))
    decoder.weight.data, decoder.bias.data = torch.from_numpy(w), torch.from_numpy(b)
    rows = training.splits.val
    exact = stats.multivariate_normal(b, w @ w.T + np.eye(X) / 2).logpdf(rows.batch(torch.arange(len(rows))).numpy())
    return training.learner, rows, exact


def test_with_the_exact_posterior_one_draw_gives_the_log_marginal(float64, tmp_path):
    learner, rows, exact = linear(tmp_path)
    assert iwae(learner, rows, k=1) == pytest.approx(exact.mean(), rel=1e-6)  # the rows are float32
    assert iwae(learner, rows, k=7, batch_size=9) == pytest.approx(exact.mean(), rel=1e-6)


def test_the_bound_rises_with_k_to_the_log_marginal(float64, tmp_path):
    """Means over 30 seeds; the gap to log p(x) falls at each step by more than the noise of 1,200 rows."""
    learner, rows, exact = linear(tmp_path, shift=0.4, scale=2.0)
    gaps = [exact.mean() - np.mean([iwae(learner, rows, k, seed) for seed in range(30)]) for k in (1, 4, 16, 64)]
    assert all(0 < later < earlier / 2 for earlier, later in zip(gaps, gaps[1:], strict=False))
    assert iwae(learner, rows, 5000) == pytest.approx(exact.mean(), abs=0.005)


def test_one_draw_is_the_elbo_of_that_sample():
    learner = Training(a_run("beta_vae")).learner.eval()
    x, noise = torch.rand(9, 1, 8, 8), Noise(3, rows=slice(0, 9), total=9)
    with torch.no_grad():
        q = learner.vae.encode(x)
        y = q.draw(noise.under(0)).y_BD
        nll = learner.vae.decode(y).nll(x) + 64 / 2 * math.log(math.pi)
        elbo = (
            -nll + stats.norm.logpdf(y).sum(1) - stats.norm.logpdf(y, q.mean_BD, (q.log_variance_BD / 2).exp()).sum(1)
        )
        found = log_likelihood(learner, x, noise, 1)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, elbo, rtol=1e-5)


def test_one_draws_mean_is_the_reported_elbo_less_the_constant():
    *_, report = train(a_run())
    learner, rows = report.training.learner, report.training.splits.val
    found = np.array([iwae(learner, rows, 1, seed) for seed in range(40)])
    expected = report.metrics["val/elbo"] - 64 / 2 * math.log(math.pi)
    assert found.mean() == pytest.approx(expected, abs=4.5 * found.std() * (1 + 1 / math.sqrt(40)))


def test_batch_norm_takes_the_statistics_of_training_though_the_model_was_left_in_training_mode():
    training = Training(a_run(network={"name": "vimae_mlp", "latent_dim": 6}))
    learner, rows = training.learner, training.splits.val
    moments = {name: buffer.clone() for name, buffer in learner.vae.named_buffers() if "running" in name}
    expected = iwae(learner.eval(), rows, k=2)
    assert iwae(learner.train(), rows, k=2) == expected
    assert moments and all(torch.equal(learner.vae.get_buffer(name), moment) for name, moment in moments.items())


def test_a_row_counts_the_same_whoever_computes_it():
    learner = Training(a_run()).learner.eval()
    x = torch.rand(7, 1, 8, 8)
    shares = [slice(0, 3), slice(3, 3), slice(3, 7)]
    with torch.no_grad():
        whole = log_likelihood(learner, x, Noise(0, rows=slice(0, 7), total=7), 4)
        parts = [log_likelihood(learner, x[rows], Noise(0, rows=rows, total=7), 4) for rows in shares]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-6, atol=0)


@pytest.mark.parametrize("example", METHODS)
def test_methods_with_a_density_have_it_and_others_say_that_they_do_not(example):
    training = Training(a_run(example))
    if METHODS[example]["name"] in WITHOUT:
        with pytest.raises(Undefined, match=f"'{METHODS[example]['name']}' has no density"):
            iwae(training.learner, training.splits.val, k=2)
    else:
        assert math.isfinite(iwae(training.learner, training.splits.val, k=2))


def test_gecos_closed_axes_are_drawn_from_the_prior_and_weigh_nothing():
    """Then one draw is the ELBO with the KL of the open axes alone, in expectation: here there is one open axis."""
    learner = Training(a_run("geco_l0_arm_vae")).learner.eval()
    learner.vae.mapping.logits_L.data[1:] = -1.0
    x = torch.rand(1, 1, 8, 8).expand(20_000, 1, 8, 8)
    with torch.no_grad():
        q = learner.method.proposal(learner.vae, x[:1])
        assert q.mean_BD[:, 1:].abs().max() == 0
        noise = Noise(0, rows=slice(0, 20_000), total=20_000)
        found = log_likelihood(learner, x, noise, 1)
        decoded = learner.vae.decode(learner.vae.mapping(learner.vae.encode(x).draw(noise.under(0)).y_BD))
        expected = decoded.log_prob(x) - kl(q, learner.vae.prior, None)
    assert found.mean().item() == pytest.approx(
        expected.mean().item(), abs=4.5 * found.std().item() / math.sqrt(20_000)
    )
