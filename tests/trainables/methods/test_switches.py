"""What Intel-VAE's paper and code do differently: the sparse loss on |z|, wrong variances, a collapse."""

# Shapes: B rows, D dimensions.

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.support.small_runs import a_run
from trainables.distributions.divergences import kl
from trainables.distributions.likelihoods import Gaussian
from trainables.distributions.posteriors import Draw
from trainables.distributions.posteriors import Gaussian as GaussianPosterior
from trainables.distributions.priors import WideNormal
from trainables.mappings.modules.sparse import sparsity
from trainables.noise import Noise
from trainables.train import Training, train

CIRCLE = {
    "network": {"name": "mlp", "hidden": [10, 10], "latent_dim": 2},
    "data": {"name": "circle", "rows": 500, "val_rows": 200},
    "likelihood": {"name": "gaussian"},
}


def terms_of(run, rows=64):
    training = Training(run)
    x, noise, _ = next(training.batches(torch.arange(rows), "train"))
    return training.learner.vae(x, noise), training.learner(x, noise)


# The sparse loss on |z|


def test_gamma_zero_is_the_vae():
    *_, vae = train(a_run("vae"))
    *_, ablation = train(a_run(method={"name": "vae", "gamma": 0.0}))
    assert ablation.metrics == vae.metrics


def test_sparse_loss_is_minus_the_mutual_information_of_row_and_dimension_in_the_table_of_absolute_codes():
    seen, terms = terms_of(a_run(method={"name": "vae", "gamma": 10.0}))
    weight, value = terms["sparsity"]
    size = seen.z_BL.detach().abs().double().numpy()
    joint = size / size.sum(1, keepdims=True) / len(size)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    assert weight == 10.0
    assert value.item() == pytest.approx(-(joint * np.log(joint / independent)).sum(), abs=1e-6)
    assert -math.log(6) <= value.item() <= 0


def test_sparse_loss_makes_codes_sparser():
    hoyer = {}
    for gamma in (0.0, 100.0):
        *_, report = train(a_run(method={"name": "vae", "gamma": gamma}, epochs=15, optimizer={"lr": 0.01}))
        hoyer[gamma] = report.metrics["val/hoyer"]
    assert hoyer[100.0] > hoyer[0.0] + 0.02


def test_reconstruction_weight_scales_the_reconstruction_alone():
    _, plain = terms_of(a_run(method={"name": "beta_vae", "beta": 10.0}))
    _, scaled = terms_of(a_run(method={"name": "beta_vae", "beta": 10.0, "reconstruction_weight": 0.05}))
    assert scaled["nll"][0] == 0.05 and scaled["kl"][0] == plain["kl"][0] == 10.0
    assert torch.equal(scaled["nll"][1], plain["nll"][1])


# The importance-weighted bound


def bound_of(training, x, noise, samples):
    """-log 1/K sum_k p(x|y_k) p(y_k) / q(y_k|x), a mean over rows, a code at a time; squared errors as -log p(x|y)."""
    vae, logs = training.learner.vae, []
    q = vae.encode(x)
    for number in range(samples):
        y = q.draw(noise.under("importance", number)).y_BD
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(y).sum(1)
        posterior = torch.distributions.Normal(q.mean_BD, (q.log_variance_BD / 2).exp()).log_prob(y).sum(1)
        error = (vae.decoder(y).sigmoid() - x).square().flatten(1).sum(1)
        logs.append(-error + prior - posterior)
    return -(torch.stack(logs).logsumexp(0) - math.log(samples)).mean()


@pytest.mark.parametrize("samples", [2, 7])
def test_several_samples_have_the_gradient_of_the_importance_weighted_bound(float64, samples):
    training = Training(a_run(method={"name": "vae", "importance_samples": samples}))
    training.learner.train()
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    loss = sum(weight * value.mean() for weight, value in training.learner(x, noise).values())
    weights = list(training.learner.parameters())
    ours = torch.autograd.grad(loss, weights)
    theirs = torch.autograd.grad(bound_of(training, x, noise, samples), weights)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_sparse_loss_is_then_of_all_samples_and_validation_has_the_elbo():
    training = Training(a_run(method={"name": "vae", "gamma": 10.0, "importance_samples": 3}))
    training.learner.train()
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    q = training.learner.vae.encode(x)
    z = torch.cat([q.draw(noise.under("importance", number)).y_BD for number in range(3)])
    found = training.learner(x, noise)["sparsity"][1]
    torch.testing.assert_close(found, sparsity(z.abs()))
    plain = Training(a_run(method={"name": "vae", "gamma": 10.0}))
    assert training.validate() == plain.validate()


# Wrong variances


@pytest.mark.parametrize("method", [{"name": "vae"}, {"name": "intel_vae", "mapping": {"name": "sphere"}}])
def test_kl_is_taken_to_the_wide_normal_that_is_asked_for(method):
    seen, terms = terms_of(a_run(method=method | {"prior_log_variance": 1.0}))
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(seen.q.mean_BD, (0.5 * seen.q.log_variance_BD).exp()),
        torch.distributions.Normal(0.0, math.exp(0.5)),
    ).sum(1)
    torch.testing.assert_close(terms["kl"][1], theirs, rtol=1e-4, atol=1e-5)


def test_wide_normal_is_wide_as_a_density_and_standard_as_a_sampler():
    prior, y = WideNormal(3, 1.0), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    log_p = stats.norm.logpdf(y.numpy(), scale=math.exp(0.5)).sum(1)
    np.testing.assert_allclose(prior.log_prob(y).numpy(), log_p, rtol=1e-5)
    assert prior.sample(Noise(0, rows=slice(20_000), total=20_000)).std().item() == pytest.approx(1, abs=0.01)


def test_weighted_log_variance_fits_half_of_the_residuals_variance():
    x = 1.7 * torch.randn(4000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fitted = {}
    for weight in (1.0, 2.0):
        spec, log_variance = Gaussian(log_variance_weight=weight), torch.linspace(-2, 3, 5001, dtype=torch.float64)
        total = [
            spec.of(torch.cat((torch.zeros(1, 2), value.expand(1, 2)), 1), None).nll(x[::40]).mean()
            for value in log_variance
        ]
        fitted[weight] = log_variance[int(torch.stack(total).argmin())].exp().item()
    assert fitted[1.0] == pytest.approx(x[::40].square().mean().item(), rel=2e-3)
    assert fitted[2.0] == pytest.approx(fitted[1.0] / 2, rel=2e-3)


def test_weighted_log_variance_leaves_the_density_as_it_is():
    raw, x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact, weighted = (Gaussian(log_variance_weight=weight).of(raw, None) for weight in (1.0, 2.0))
    x = x[:, :2]
    assert torch.equal(weighted.log_prob(x), exact.log_prob(x)) and torch.equal(exact.nll(x), -exact.log_prob(x))
    torch.testing.assert_close(weighted.nll(x) - exact.nll(x), 0.5 * raw[:, 2:].sum(1))


# The collapse, and the warm-up against it


def collapsed(mapping):
    """A model of the circle whose codes are N(0, I) and whose decoder fits the data's first two moments."""
    method = {"name": "intel_vae", "mapping": {"name": mapping}}
    training = Training(a_run(method=method, **CIRCLE))
    vae = training.learner.vae
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        vae.decoder[-2].bias.copy_(torch.tensor([0.0, 0.0, math.log(2), math.log(2)]))
    return training


@pytest.mark.parametrize("mapping", ["identity", "sphere"])
def test_collapsed_model_of_the_circle_has_the_energy_of_its_moment_matched_gaussian(mapping):
    metrics = collapsed(mapping).validate()
    assert metrics["val/kl"] == 0
    assert -metrics["val/elbo"] == pytest.approx(math.log(2 * math.pi * math.e * 2), abs=1e-6)
    assert -metrics["val/elbo"] == pytest.approx(3.531, abs=5e-4)


def test_collapse_is_a_stationary_point_over_the_whole_circle():
    training = collapsed("identity")
    x, noise, _ = next(training.batches(torch.arange(500), "train"))
    t = torch.arange(len(x)) * 2 * math.pi / len(x)
    terms = training.learner(2 * torch.stack((t.cos(), t.sin()), 1), noise)
    sum(weight * value.mean() for weight, value in terms.values()).backward()
    assert max(p.grad.abs().max().item() for p in training.learner.parameters()) < 1e-6


def test_warm_up_is_half_of_the_run_for_synthetic_data_and_none_for_others():
    assert a_run(epochs=30, **CIRCLE).warmup_epochs == 15
    assert a_run(epochs=30).warmup_epochs == 0
    assert a_run(epochs=30, kl_warmup_epochs=0.0, **CIRCLE).warmup_epochs == 0
    assert a_run(epochs=30, kl_warmup_epochs=7.0, **CIRCLE).warmup_epochs == 7


def test_kl_to_a_normal_of_log_variance_zero_is_the_plain_one():
    q = GaussianPosterior(torch.ones(2, 3), torch.full((2, 3), -0.5))
    plain = Training(a_run("vae")).learner.vae.prior
    torch.testing.assert_close(kl(q, WideNormal(3, 0.0), Draw(q.mean_BD)), kl(q, plain, Draw(q.mean_BD)))
