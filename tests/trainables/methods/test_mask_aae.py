"""MaskAAE: mask, critic, each phase's losses by numpy, schedules."""

import math

import numpy as np
import pytest
import torch

from tests.support.small_runs import a_run
from trainables.data import Rows
from trainables.methods.mask_aae import loss_scale, period, polarisation_weight
from trainables.methods.modules.mask import Adversary, Mask
from trainables.train import Training, train


@pytest.fixture
def training():
    torch.set_default_dtype(torch.float64)
    yield Training(a_run("mask_aae", likelihood={"name": "bernoulli"}))
    torch.set_default_dtype(torch.float32)


def seen_in(training, phase):
    """The first batch, its code and this phase's terms as floats and arrays; x, y (B, ...) as numpy."""
    training.learner.train()
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    terms = training.learner(x, noise, phase=phase)
    found = {name: (weight, value.detach().numpy()) for name, (weight, value) in terms.items()}
    y = training.learner.vae.encode(x).mean_BD.detach()
    return x, y, noise, found


def mask_of(training):
    return 1 - np.exp(-training.learner.vae.mapping.m_L.detach().numpy())


def critic_of(training, z):
    """The critic's layers in numpy."""
    layers = [layer for layer in training.learner.vae.extras.critic if isinstance(layer, torch.nn.Linear)]
    for layer in layers:
        z = z @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        z = np.maximum(z, 0) if layer is not layers[-1] else z
    return z[:, 0]


def cross_entropy(training, x, z):
    p = torch.sigmoid(training.learner.vae.decoder(torch.from_numpy(z))).detach().numpy()
    x = x.numpy()
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3))


def test_the_mask_is_one_minus_exp_of_minus_m():
    torch.manual_seed(0)
    mask = Mask(1000)
    assert 0 <= mask.m_L.min() < 0.1 < 4.9 < mask.m_L.max() < 5
    mask.m_L.data[:3] = torch.tensor([0.0, 0.1, 3.0])
    a = 1 - np.exp(-mask.m_L.detach().double().numpy())
    np.testing.assert_allclose(mask(torch.full((2, 1000), 2.0)).detach(), [2 * a] * 2, rtol=1e-5)
    np.testing.assert_allclose(mask.polarisation().item(), (a * (1 - a)).sum(), rtol=1e-5)
    assert mask.opened().sum() == (a >= 0.1).sum()
    assert mask.opened()[:3].tolist() == [0.0, 0.0, 1.0]  # 1 - exp(-.1) = .095


def test_m_never_falls_below_zero_and_turns_are_counted():
    *_, report = train(a_run("mask_aae", epochs=2, optimizer={"lr": 10.0}))
    mapping = report.training.learner.vae.mapping
    assert mapping.m_L.min() == 0
    assert report.metrics["val/mask_open"] == (mapping.m_L >= -math.log(0.9)).sum()
    assert report.training.learner.vae.extras.turns == 2  # 20 steps of 8


def test_autoencoders_losses_by_numpy(training):
    x, y, _, terms = seen_in(training, "autoencoder")
    y, a = y.numpy(), mask_of(training)
    np.testing.assert_allclose(terms["nll"][1], cross_entropy(training, x, a * y), rtol=1e-10)
    assert terms["nll"][0] == pytest.approx(1 / 64)  # a mean over pixels
    spread = ((y - y.mean(0)) ** 2 * np.exp(-10 * a**2)).mean()
    assert terms["spread"] == (100.0, pytest.approx(spread, rel=1e-10))


def test_critics_and_generators_losses_by_numpy(training):
    _, y, noise, terms = seen_in(training, "critic")
    a = mask_of(training)
    code, drawn = a * y.numpy(), a * noise.normal("prior", 6).numpy()
    assert {name: weight for name, (weight, _) in terms.items()} == {"codes": 1.0, "prior": -1.0, "penalty": 10.0}
    np.testing.assert_allclose(terms["codes"][1], critic_of(training, code), rtol=1e-10)
    np.testing.assert_allclose(terms["prior"][1], critic_of(training, drawn), rtol=1e-10)
    t = noise.uniform("between", 1).numpy()
    penalty = penalty_by_differences(lambda z: critic_of(training, z), t * code + (1 - t) * drawn)
    np.testing.assert_allclose(terms["penalty"][1], penalty, rtol=1e-5)
    _, _, _, terms = seen_in(training, "generator")
    assert terms["codes"][0] == -1.0
    np.testing.assert_allclose(terms["codes"][1], critic_of(training, code), rtol=1e-10)


def test_masks_losses_by_numpy(training):
    x, y, noise, terms = seen_in(training, "mask")
    a = mask_of(training)
    code, drawn = a * y.numpy(), a * noise.normal("prior", 6).numpy()
    np.testing.assert_allclose(terms["nll"][1], cross_entropy(training, x, code), rtol=1e-10)
    assert terms["nll"][0] == pytest.approx(1000 / 64)
    gap = (1 - (critic_of(training, code).mean() - critic_of(training, drawn).mean())) ** 2
    assert terms["gap"] == (1.0, pytest.approx(gap, rel=1e-10))
    assert terms["polarisation"] == (pytest.approx(2 / 6), pytest.approx(np.abs(a * (1 - a)).sum(), rel=1e-10))


def penalty_by_differences(critic, z, step=1e-6):
    slopes = [(critic(z + step * e) - critic(z - step * e)) / (2 * step) for e in np.eye(z.shape[1])]
    return (np.linalg.norm(slopes, axis=0) - 1) ** 2


def a_critic(seed=0):
    torch.manual_seed(seed)
    return Adversary(4, width=16, depth=3, unit=75).double(), torch.randn(9, 4, dtype=torch.float64)


@pytest.mark.parametrize("graph", [True, False], ids=["with gradients", "under no_grad"])
def test_gradient_penalty_matches_finite_differences(graph):
    critic, z = a_critic()
    with torch.set_grad_enabled(graph):
        penalty = critic.gradient_penalty(z)
    assert penalty.requires_grad == graph
    expected = penalty_by_differences(lambda at: critic(torch.from_numpy(at)).detach().numpy(), z.numpy())
    np.testing.assert_allclose(penalty.detach().numpy(), expected, rtol=1e-6)


def test_gradient_of_the_penalty_matches_finite_differences():
    """The second derivatives: of every weight of the first layer."""
    critic, z = a_critic()
    weight = critic.critic[0].weight
    (gradient,) = torch.autograd.grad(critic.gradient_penalty(z).mean(), weight)
    for index in np.ndindex(*weight.shape):
        values = []
        for step in (1e-6, -1e-6):
            weight.data[index] += step
            values.append(critic.gradient_penalty(z).mean().item())
            weight.data[index] -= step
        assert gradient[index].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-7)


def test_penalty_of_a_dead_critic_is_one_and_its_gradient_finite():
    critic, z = a_critic()
    critic.critic[-1].weight.data.zero_()
    penalty = critic.gradient_penalty(z)
    assert penalty.tolist() == [1.0] * 9
    gradients = torch.autograd.grad(penalty.sum(), list(critic.parameters()), allow_unused=True)
    assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None)


@pytest.mark.parametrize(("latent_dim", "expected"), [(6, 75), (20, 75), (21, 2362), (32, 3600), (128, 10_000)])
def test_the_schedules_unit(latent_dim, expected):
    assert period(latent_dim) == expected


def test_the_pull_to_0_and_1_starts_at_2_over_l_and_doubles_every_4_periods_up_to_2048():
    turns = torch.tensor([0, 299, 300, 900, 300 * 13, 300 * 14, 300 * 15, 500_000])
    assert polarisation_weight(turns, 16, 75).tolist() == [0.125, 0.125, 0.25, 1.0, 1024.0, 2048.0, 2048.0, 2048.0]
    assert polarisation_weight(torch.tensor(0), 48, 5400).item() == pytest.approx(2 / 48, rel=1e-12)


def test_masks_of_32_axes_are_pulled_at_full_weight_after_216_000_turns_of_16_after_4_200():
    """The first turn at which the weight is 2048, found by search."""
    for latent_dim, expected in ((16, 4_200), (32, 216_000)):
        turns = torch.tensor([expected - 1, expected])
        assert polarisation_weight(turns, latent_dim, period(latent_dim)).tolist() == [1024.0, 2048.0]


def test_a_chosen_period_takes_the_place_of_the_codes():
    method = {"name": "mask_aae", "critic_width": 16, "critic_depth": 2, "period": 7}
    training = Training(a_run(method=method))
    vae, weights = training.learner.vae, {}
    for turns in (27, 28, 34, 35):
        vae.extras.turns.fill_(turns)
        weights[turns] = (seen_in(training, "mask")[3]["polarisation"][0].item(), loss_scale(vae).item())
    assert weights == {27: (2 / 6, 1.0), 28: (4 / 6, 1.0), 34: (4 / 6, 1.0), 35: (pytest.approx(4 / 30), 0.2)}


def test_an_epoch_of_turns_has_as_many_turns_as_batches_and_every_row_in_each_of_eight_passes(monkeypatch):
    """300 rows in batches of 30: 10 turns of 8 steps, in which each row is seen 8 times."""
    seen, batch = [], Rows.batch
    monkeypatch.setattr(Rows, "batch", lambda self, *asked: (seen.append(asked[0]), batch(self, *asked))[1])
    method = {"name": "mask_aae", "critic_width": 16, "critic_depth": 2}
    run = a_run(method=method | {"epoch_counts": "turns"}, batch_size=30, epochs=1, kl_warmup_epochs=2.0)
    (report,) = train(run)
    training = report.training
    assert (training.step, training.images) == (80, 2400)
    assert training.learner.vae.extras.turns == 10
    assert training.kl_scale() == 0.5
    trained = [index for index in seen if len(index) == 30][:80]  # before validation
    assert torch.cat(trained).bincount().tolist() == [8] * 300
    passes = torch.cat(trained).view(8, 300)
    assert all(row.sort().values.equal(torch.arange(300)) for row in passes)
    assert len({tuple(row.tolist()) for row in passes}) == 8
    (by_rows,) = train(a_run(method=method, batch_size=30, epochs=1))
    assert (by_rows.training.step, by_rows.images) == (10, 300)


def test_a_run_that_counts_turns_goes_on_bit_for_bit(tmp_path):
    """An epoch has 83 steps, and so ends within a turn."""
    method = {"name": "mask_aae", "critic_width": 16, "critic_depth": 2, "epoch_counts": "turns"}
    run = a_run(method=method, batch_size=29, epochs=2, optimizer={"algorithm": "rmsprop"})
    for report in train(run):
        if report.epoch == 1:
            report.save(tmp_path / "checkpoint.pt")
    assert report.training.step == 2 * math.ceil(8 * 300 / 29) and report.training.step % 8
    (resumed,) = train(run, resume=tmp_path / "checkpoint.pt")
    assert resumed.metrics == report.metrics
    state = resumed.training.learner.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in report.training.learner.state_dict().items())


def test_the_losses_of_autoencoder_and_mask_are_divided_by_5_from_5_periods_on(training):
    vae = training.learner.vae
    weights = {}
    for turns in (374, 375):
        vae.extras.turns.fill_(turns)
        both = seen_in(training, "autoencoder")[3], seen_in(training, "mask")[3]
        weights[turns] = [weight.item() for terms in both for weight, _ in terms.values()]
    assert loss_scale(vae) == 0.2
    assert weights[375] == pytest.approx([weight / 5 for weight in weights[374]])


def test_the_papers_critic_has_the_papers_parameters():
    critic = Adversary(16, width=1024, depth=4, unit=75)
    assert sum(value.numel() for value in critic.parameters()) == 3_167_233


def test_the_papers_setting_runs():
    optimizer = {"algorithm": "rmsprop", "lr": 5e-4, "beta2": 0.9, "eps": 1e-10}
    (report,) = train(a_run("mask_aae", likelihood={"name": "bernoulli"}, optimizer=optimizer, epochs=1))
    assert all(map(math.isfinite, report.metrics.values()))
    rates = {name: some.param_groups[0]["lr"] for name, some in report.training.optimizers.items()}
    assert rates == pytest.approx({"autoencoder": 5e-4, "critic": 1e-4, "generator": 1e-4, "mask": 5e-4})
