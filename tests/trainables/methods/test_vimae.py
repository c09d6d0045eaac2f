"""WAE-MMD and VIMAE: prior, noise on the input, pre-training of the encoder, and what a point code lacks."""

# Shapes: B rows, X pixels, L latent dimensions.

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from tests.support.small_runs import a_run
from trainables.distributions import mmd
from trainables.distributions.posteriors import Point
from trainables.distributions.priors import Logistic, Normal
from trainables.methods.modules.pixel_noise import PIXEL_NOISES
from trainables.methods.vimae import VIMAE
from trainables.noise import Noise
from trainables.train import Training, train

MANY = 100_000
AUTOENCODERS = ["wae_mmd", "vimae", "vimae logistic"]


def noise_of(rows, seed=0):
    return Noise(seed, rows=slice(rows), total=rows)


def vimae(**changes):
    return a_run(method={"name": "vimae", "pretraining_steps": 0} | changes)


def one_batch(run):
    """A learner in training, and 32 rows."""
    training = Training(run)
    x, noise, _ = next(training.batches(torch.arange(32), "train"))
    training.learner.train()
    return training.learner, x, noise


# --- the logistic prior


def test_logistic_log_density_matches_scipy():
    y = torch.linspace(-30, 30, 40, dtype=torch.float64).reshape(10, 4)
    theirs = stats.logistic.logpdf(y.numpy(), scale=math.sqrt(3) / math.pi).sum(1)
    np.testing.assert_allclose(Logistic(4).log_prob(y).numpy(), theirs, rtol=1e-12)


def test_logistic_has_unit_variance_and_1_4046_nats_of_entropy():
    y = np.linspace(-40, 40, 200_001)
    log_p = Logistic(1).log_prob(torch.from_numpy(y)[:, None]).numpy()
    p = np.exp(log_p)
    assert integrate.trapezoid(p, y) == pytest.approx(1, abs=1e-9)
    assert integrate.trapezoid(p * y**2, y) == pytest.approx(1, abs=1e-9)
    entropy = -integrate.trapezoid(p * log_p, y)
    assert entropy == pytest.approx(1.4046, abs=5e-5)
    assert 0.5 * math.log(2 * math.pi * math.e) - entropy == pytest.approx(0.0144, abs=5e-5)


def test_logistic_samples_follow_its_distribution():
    y = Logistic(2).sample(noise_of(MANY // 2)).flatten().numpy()
    assert stats.kstest(y, stats.logistic(scale=math.sqrt(3) / math.pi).cdf).pvalue > 1e-3


def test_logistic_samples_stay_within_the_clamp():
    class Extreme(Noise):
        def uniform(self, stream, *shape):
            return torch.tensor([[0.0], [1.0]])

    bound = math.sqrt(3) / math.pi * math.log(1e6)
    sample = Logistic(1).sample(Extreme(0, rows=slice(2), total=2))
    assert sample.flatten().tolist() == pytest.approx([-bound, bound], rel=0.01)


def test_vimae_l_generates_from_its_logistic_prior():
    learner, _, _ = one_batch(vimae(prior_form="logistic"))
    sampler = learner.method.sampler(learner.vae, None, 0)
    expected = math.sqrt(3) / math.pi * noise_of(5).uniform("prior", 6).logit()
    torch.testing.assert_close(sampler(noise_of(5)), expected)


# --- noise on the encoder's input


@pytest.mark.parametrize(("kind", "edge", "sd"), [("truncated", 0.02, 0.0088), ("clipped", 0.01, 0.0072)])
def test_pixel_noise_has_the_support_and_sd_of_the_reference(kind, edge, sd):
    eps = PIXEL_NOISES[kind](noise_of(MANY // 16), torch.zeros(MANY // 16, 1, 4, 4)).double()
    assert 0.999 * edge < eps.abs().max() <= edge * (1 + 1e-6)
    assert eps.std().item() == pytest.approx(sd, abs=5e-5)
    assert abs(eps.mean()) < 4.5 * sd / math.sqrt(MANY)


def test_truncated_pixel_noise_is_scipys_truncated_normal():
    eps = PIXEL_NOISES["truncated"](noise_of(500), torch.zeros(500, 8, 8)).flatten().double().numpy()
    assert stats.kstest(eps, stats.truncnorm(-2, 2, scale=0.01).cdf).pvalue > 1e-3


def test_clipped_pixel_noise_has_the_normals_tails_on_its_edges():
    eps = PIXEL_NOISES["clipped"](noise_of(1000), torch.zeros(1000, 10, 10))
    on_an_edge = (eps.abs() >= 0.01 * (1 - 1e-6)).double().mean().item()
    tails = 2 * stats.norm.sf(1)
    assert abs(on_an_edge - tails) < 4.5 * math.sqrt(tails * (1 - tails) / MANY)


@pytest.mark.parametrize("kind", ["truncated", "clipped"])
def test_the_encoder_sees_noise_in_training_alone_and_the_loss_the_clean_row(kind):
    learner, x, noise = one_batch(vimae(input_noise=kind))
    seen = []
    learner.vae.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    trained = learner.vae(x, noise)
    learner.eval()
    tested = learner.vae(x, noise)
    assert torch.equal(seen[0], x + PIXEL_NOISES[kind](noise, x))
    assert torch.equal(seen[1], x)
    assert trained.x_BX is x
    assert tested.x_BX is x


def test_wae_without_input_noise_is_deterministic():
    learner, x, _ = one_batch(a_run(method={"name": "wae_mmd", "input_noise": "none"}))
    first, second = (learner.vae(x, noise_of(32, seed)).z_BL for seed in (1, 2))
    assert torch.equal(first, second)


# --- the objective


@pytest.mark.parametrize("form", ["normal", "logistic"])
@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_loss_is_a_twentieth_of_the_squared_error_plus_lambda_mmd(form, kernel):
    learner, x, noise = one_batch(vimae(prior_form=form, kernel=kernel, lam=7.0))
    terms, seen = learner(x, noise), learner.vae(x, noise)
    prior = {"normal": Normal, "logistic": Logistic}[form](6)
    shared = noise.shared({"imq": len(x), "rbf": 200}[kernel])
    torch.testing.assert_close(terms["nll"][1], (x - seen.decoded.mean_BX).square().flatten(1).sum(1))
    torch.testing.assert_close(terms["mmd"][1], mmd.DISCREPANCIES[kernel].between(seen.q.mean_BD, prior.sample(shared)))
    assert (terms["nll"][0], terms["mmd"][0]) == (0.05, 7.0)


def test_vimae_n_without_pretraining_is_wae_mmd():
    *_, ours = train(vimae())
    *_, theirs = train(a_run("wae_mmd"))
    assert ours.metrics == theirs.metrics


@pytest.mark.parametrize("example", AUTOENCODERS)
def test_a_deterministic_encoder_has_no_rate_and_no_elbo(example):
    run = a_run(example)
    *_, report = train(run)
    assert run.method.posterior() is Point
    assert not {"val/kl", "val/elbo", "train/kl"} & {*run.metric_names(), *report.metrics}
    assert {"val/mse", "train/mmd", "train/nll"} < set(report.metrics)


def test_the_mmd_draws_codes_to_the_prior():
    """Codes of an autoencoder whose MMD weighs much have the prior's scale; those of one without it do not."""
    spreads = []
    for lam in (0.0, 1000.0):
        method = {"name": "vimae", "pretraining_steps": 0, "lam": lam}
        *_, report = train(a_run(method=method, epochs=12, optimizer={"lr": 0.01}))
        codes = report.training.learner.vae.represent(report.training.splits.train.batch(torch.arange(300)).float())
        spreads.append((codes.square().mean() - 1).abs().item())
    assert spreads[1] < 0.15 < spreads[0]


# --- pre-training


def quick_to_match(epochs):
    """A run of three steps an epoch whose moments match after a few epochs."""
    network = {"name": "mlp", "hidden": [16], "latent_dim": 2}
    changes = {"network": network, "batch_size": 100, "epochs": epochs, "optimizer": {"lr": 0.01}}
    return a_run(method={"name": "vimae"}, **changes)


def phases_of(run):
    """The phase of every step of a run, and the reports."""
    phases, update = [], Training.update

    def spy(self, phase, *others):
        phases.append(phase.name)
        update(self, phase, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "update", spy)
        return phases, [report.metrics for report in train(run)]


def test_pretraining_moves_the_encoder_alone():
    training = Training(vimae(pretraining_steps=3))
    before = {name: value.clone() for name, value in training.learner.named_parameters()}
    training.learner.train()
    for x, noise, rows in training.batches(torch.arange(32), "train"):
        phase = training.run.method.phase(0, training.learner.vae)
        ((_, moments),) = training.learner(x, noise, phase=phase.name).values()
        training.backward(moments)
        training.update(phase, rows)
    moved = {name for name, value in training.learner.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("vae.encoder.")}


def test_pretraining_ends_at_its_last_step_when_moments_do_not_match(monkeypatch):
    monkeypatch.setattr(mmd.Moments, "ENOUGH", 0.0)
    phases, _ = phases_of(vimae(pretraining_steps=4))
    assert phases == ["pretrain"] * 4 + ["all"] * 16


def test_pretraining_ends_once_moments_match_and_does_not_come_back():
    phases, metrics = phases_of(quick_to_match(epochs=10))
    steps = phases.count("pretrain")
    assert 3 < steps < 27
    assert phases == ["pretrain"] * steps + ["all"] * (30 - steps)
    distances = [row["train/pretrain/moments"] for row in metrics if "train/pretrain/moments" in row]
    assert distances == sorted(distances, reverse=True)


def test_an_epoch_of_pretraining_alone_reports_training_metrics_that_are_not_numbers(monkeypatch):
    monkeypatch.setattr(mmd.Moments, "ENOUGH", 0.0)
    run = vimae(pretraining_steps=12)
    _, (first, second) = phases_of(run)
    assert set(run.metric_names()) <= set(first)
    assert all(math.isnan(first[f"train/{term}"]) for term in ("loss", "nll", "mmd"))
    assert math.isfinite(first["val/loss"])
    assert all(math.isfinite(value) for value in second.values())


@pytest.mark.parametrize("epoch", [2, 9], ids=["before its end", "after its end"])
def test_resume_goes_on_with_pretraining_where_it_was(epoch, tmp_path):
    run = quick_to_match(epochs=11)
    reports = train(run)
    for report in reports:
        if report.epoch == epoch:
            report.save(tmp_path / "checkpoint.pt")
            assert report.training.learner.vae.extras.matched == (epoch == 9)
            break
    *_, unbroken = reports
    *_, resumed = train(run, resume=tmp_path / "checkpoint.pt")
    assert resumed.metrics == unbroken.metrics


def test_defaults_are_the_references_decisions():
    method = VIMAE()
    assert (method.lam, method.reconstruction_weight, method.input_noise) == (10.0, 0.05, "truncated")
    assert (method.prior_form, method.kernel, method.pretraining_steps) == ("normal", "imq", 200)
    assert a_run("wae_mmd").method.pretraining_steps == 0
