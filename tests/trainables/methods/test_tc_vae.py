"""beta-TCVAE: the total correlation against a loop, a closed form and independence; beta one is the VAE."""

# Shapes: B rows, D dimensions.

import math

import pytest
import torch

from tests.support.small_runs import a_run
from trainables.methods.tc_vae import total_correlation
from trainables.train import train


def posteriors(rows, dim, seed=0):
    g = torch.Generator().manual_seed(seed)
    mean, log_variance, eps = torch.randn(3, rows, dim, generator=g, dtype=torch.float64)
    return mean + (0.5 * log_variance).exp() * eps, mean, log_variance


def log_normal(y, mean, log_variance):
    return -0.5 * ((y - mean) ** 2 / math.exp(log_variance) + log_variance + math.log(2 * math.pi))


def test_total_correlation_is_the_loop_over_samples_posteriors_and_dimensions():
    y, mean, log_variance = (value.tolist() for value in posteriors(7, 3))
    total = 0.0
    for j in range(7):
        density = [[math.exp(log_normal(y[j][d], mean[i][d], log_variance[i][d])) for d in range(3)] for i in range(7)]
        joint = sum(math.prod(row) for row in density) / 7
        marginals = [sum(row[d] for row in density) / 7 for d in range(3)]
        total += math.log(joint / math.prod(marginals)) / 7
    assert total_correlation(*posteriors(7, 3)).item() == pytest.approx(total, rel=1e-12)


def test_total_correlation_of_independent_gaussians_is_near_zero():
    """Broad posteriors, so that a batch's mean of them is close to the aggregate."""
    g = torch.Generator().manual_seed(1)
    mean = 0.3 * torch.randn(2000, 3, generator=g, dtype=torch.float64)
    y = mean + torch.randn(2000, 3, generator=g, dtype=torch.float64)
    assert total_correlation(y, mean, torch.zeros_like(mean)).item() == pytest.approx(0, abs=0.01)


def test_total_correlation_of_correlated_gaussians_is_the_closed_form():
    """Means of covariance S and posteriors of variance v: y is normal, TC -1/2 log det of its correlation."""
    rho, variance, rows = 0.9, 0.5, 3000
    g = torch.Generator().manual_seed(2)
    root = torch.linalg.cholesky(torch.tensor([[1, rho], [rho, 1]], dtype=torch.float64))
    mean = torch.randn(rows, 2, generator=g, dtype=torch.float64) @ root.T
    y = mean + math.sqrt(variance) * torch.randn(rows, 2, generator=g, dtype=torch.float64)
    expected = -0.5 * math.log(1 - (rho / (1 + variance)) ** 2)
    value = total_correlation(y, mean, torch.full_like(mean, math.log(variance))).item()
    assert value == pytest.approx(expected, abs=0.03)


def test_total_correlation_of_one_row_is_zero():
    assert total_correlation(*posteriors(1, 4)).item() == pytest.approx(0, abs=1e-12)


def test_constant_of_the_mean_over_posteriors_has_no_gradient():
    """disentanglement_lib's form is lower by (D - 1) log B."""
    y, mean, log_variance = (value.requires_grad_() for value in posteriors(6, 4))
    log_q = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(y[:, None])
    theirs = (log_q.sum(2).logsumexp(1) - log_q.logsumexp(1).sum(1)).mean()
    ours = total_correlation(y, mean, log_variance)
    assert (ours - theirs).item() == pytest.approx(3 * math.log(6), rel=1e-12)
    for one, other in zip(torch.autograd.grad(ours, (y, mean)), torch.autograd.grad(theirs, (y, mean)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_beta_one_is_the_vae():
    *_, vae = train(a_run("vae"))
    *_, tc = train(a_run(method={"name": "tc_vae", "beta": 1.0}))
    assert {name: value for name, value in tc.metrics.items() if name != "train/tc"} == vae.metrics


def test_total_correlation_is_weighted_by_beta_less_one_and_warms_up_with_the_kl():
    report = next(train(a_run(method={"name": "tc_vae", "beta": 4.0})))
    metrics = report.metrics
    expected = metrics["train/nll"] + metrics["train/kl"] + 3 * metrics["train/tc"]
    assert metrics["train/loss"] == pytest.approx(expected, rel=1e-6)
    training = report.training
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    assert training.learner(x, noise, kl_scale=0.25)["tc"][0] == 0.75
