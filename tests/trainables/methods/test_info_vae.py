"""InfoVAE and the rate-bound VAE: what they are equal to, and which way their rate is drawn."""

import pytest
import torch

from tests.support.losses import total
from tests.support.small_runs import a_run
from trainables.distributions import mmd
from trainables.methods.info_vae import InfoVAE
from trainables.train import Training, train


def info_vae(alpha, lam, **changes):
    return a_run(method={"name": "info_vae", "alpha": alpha, "lam": lam} | changes)


def rate_bound(rate, **changes):
    return a_run(method={"name": "rate_bound_vae", "rate": rate} | changes)


def one_batch(run):
    """A learner in training, and 32 rows."""
    training = Training(run)
    x, noise, _ = next(training.batches(torch.arange(32), "train"))
    training.learner.train()
    return training.learner, x, noise


def mean_kl(learner, x):
    """The mean rate of the rows, in nats, by hand."""
    q = learner.vae.encode(x)
    return 0.5 * (q.mean_BD**2 + q.log_variance_BD.exp() - q.log_variance_BD - 1).sum(1).mean()


# --- InfoVAE


def test_alpha_0_and_lambda_1_train_the_vae():
    *_, ours = train(info_vae(0.0, 1.0))
    *_, vae = train(a_run("vae"))
    for name in ("train/loss", "train/nll", "train/kl", "val/loss", "val/elbo", "val/kl"):
        assert ours.metrics[name] == pytest.approx(vae.metrics[name], rel=1e-6), name


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_alpha_1_is_mmd_vae(kernel):
    """Reconstruction + lambda MMD between sampled codes and the prior; the KL is reported but draws nothing."""
    learner, x, noise = one_batch(info_vae(1.0, 20.0, kernel=kernel))
    seen = learner.vae(x, noise)
    samples = seen.vae.prior.sample(noise.shared({"imq": 32, "rbf": 200}[kernel]))
    by_hand = seen.decoded.nll(x).mean() + 20 * mmd.DISCREPANCIES[kernel].between(seen.y_BD, samples)
    terms = learner(x, noise)
    torch.testing.assert_close(total(terms, 32), by_hand)
    assert terms["kl"][0] == 0


def test_loss_is_zhaos_for_any_alpha_and_lambda():
    learner, x, noise = one_batch(info_vae(0.3, 5.0))
    terms, seen = learner(x, noise), learner.vae(x, noise)
    discrepancy = mmd.DISCREPANCIES["imq"].between(seen.y_BD, seen.vae.prior.sample(noise.shared(32)))
    by_hand = seen.decoded.nll(x).mean() + 0.7 * mean_kl(learner, x) + 4.3 * discrepancy
    torch.testing.assert_close(total(terms, 32), by_hand)


def test_the_reconstructions_weight_is_of_the_reconstruction_alone():
    method = {"name": "info_vae", "alpha": 0.3, "lam": 5.0}
    learner, x, noise = one_batch(a_run(method=method | {"reconstruction_weight": 0.05}))
    plain, _, _ = one_batch(a_run(method=method))
    difference = total(plain(x, noise), 32) - total(learner(x, noise), 32)
    torch.testing.assert_close(difference, 0.95 * learner.vae(x, noise).decoded.nll(x).mean())


def test_info_vae_of_equal_weights_is_beta_vae_when_its_mmd_has_none():
    """a = lambda = beta in VIMAE's notation, a = 1 - alpha: the weight of the MMD is 0."""
    *_, ours = train(info_vae(0.7, 0.3))
    *_, beta = train(a_run("beta_vae"))
    assert ours.metrics["train/loss"] == pytest.approx(beta.metrics["train/loss"], rel=1e-6)
    assert ours.metrics["val/elbo"] == pytest.approx(beta.metrics["val/elbo"], rel=1e-6)


def test_weights_below_0_are_mistakes_of_one_line():
    assert not list(InfoVAE(alpha=0.0, lam=1.0).mistakes(6, 300))
    ((path, text),) = InfoVAE(alpha=1.5, lam=3.0).mistakes(6, 300)
    assert path == "alpha"
    assert "-0.5" in text
    ((path, text),) = InfoVAE(alpha=0.0, lam=0.001).mistakes(6, 300)
    assert path == "lam"
    assert "at least 1." in text


# --- the rate-bound VAE


@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
def test_rate_bound_loss_has_the_batch_mean_inside_the_absolute_value(beta):
    learner, x, noise = one_batch(rate_bound(5.0, beta=beta))
    terms, rate = learner(x, noise), mean_kl(learner, x)
    by_hand = 0.05 * learner.vae(x, noise).decoded.nll(x).mean() + beta * (5.0 - rate).abs()
    torch.testing.assert_close(total(terms, 32), by_hand)
    per_row = (5.0 - terms["kl"][1]).abs().mean()
    apart, _, noise = one_batch(rate_bound(rate.item()))
    assert apart(x, noise)["rate_gap"][1] < 1e-5 < per_row


@pytest.mark.parametrize(("offset", "sign"), [(-0.01, 1.0), (0.01, -1.0)])
def test_gradient_flips_its_sign_where_the_rate_is_the_bound(offset, sign):
    """Above R_0 the gradient is that of the KL, below it the opposite."""
    learner, x, noise = one_batch(rate_bound(5.0))
    rate = mean_kl(learner, x).item()
    bounded, _, _ = one_batch(rate_bound(rate + offset))
    parameters = list(bounded.vae.encoder.parameters())
    ours = torch.autograd.grad(bounded(x, noise)["rate_gap"][1], parameters)
    plain = torch.autograd.grad(mean_kl(bounded, x), parameters)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, sign * other)


@pytest.mark.parametrize("rate", [1.0, 12.0])
def test_training_ends_near_the_bound_from_either_side(rate):
    method = {"name": "rate_bound_vae", "rate": rate, "beta": 5.0}
    *_, report = train(a_run(method=method, epochs=20, optimizer={"lr": 0.01}))
    assert report.metrics["train/kl"] == pytest.approx(rate, rel=0.15)


def test_a_beta_too_small_leaves_the_rate_above_the_bound_as_in_a_beta_vae():
    """R_0 is 1, at which a beta of 5 ends."""
    changes = {"epochs": 20, "optimizer": {"lr": 0.01}}
    weight = {"reconstruction_weight": 1.0}
    *_, ours = train(a_run(method={"name": "rate_bound_vae", "rate": 1.0, "beta": 0.3} | weight, **changes))
    *_, beta = train(a_run(method={"name": "beta_vae", "beta": 0.3}, **changes))
    assert beta.metrics["train/kl"] > 1.5
    assert ours.metrics["train/kl"] > 1.5
