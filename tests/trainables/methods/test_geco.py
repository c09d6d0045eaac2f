"""GECO-L0-ARM-VAE: ARM's gradient, gates, the masked KL, the multiplier and the constraint's average."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from tests.support.small_runs import a_run
from trainables.methods.geco_l0_arm_vae import narrowed
from trainables.methods.modules.gates import Gates, Multiplier
from trainables.noise import Noise
from trainables.train import Training, train

LOGITS = [0.7, -1.1, 0.2]
QUADRATIC = torch.tensor([[2.0, -1.0, 0.5], [-1.0, 1.0, 3.0], [0.5, 3.0, -2.0]], dtype=torch.float64)


def cost(nu_L):
    """A cost that couples the gates."""
    return nu_L @ QUADRATIC @ nu_L + nu_L @ torch.tensor([1.0, -2.0, 0.3], dtype=torch.float64)


def gates_of(logits, k=1.0):
    gates = Gates(len(logits), k).double()
    gates.logits_L.data = torch.tensor(logits, dtype=torch.float64)
    return gates


def exact_gradient(logits, k=1.0):
    """d/dg of the sum over all 2^L gate vectors of probability times cost."""
    g = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    total = 0.0
    for nu in product([0.0, 1.0], repeat=len(logits)):
        nu = torch.tensor(nu, dtype=torch.float64)
        total = total + (nu * (k * g).sigmoid() + (1 - nu) * (-k * g).sigmoid()).prod() * cost(nu)
    return torch.autograd.grad(total, g)[0]


@pytest.mark.parametrize("k", [1.0, 7.0])
def test_arms_gradient_is_unbiased(k):
    """Its expectation over u, exactly: it is linear in u where no gate flips, so cells' midpoints integrate it."""
    gates = gates_of(LOGITS, k)
    edges = [sorted([0.0, 1.0, 1 / (1 + math.exp(-k * g)), 1 / (1 + math.exp(k * g))]) for g in LOGITS]
    cells = [[((low + high) / 2, high - low) for low, high in zip(e, e[1:], strict=False)] for e in edges]
    mean = torch.zeros(3, dtype=torch.float64)
    for cell in product(*cells):
        u = torch.tensor([middle for middle, _ in cell], dtype=torch.float64)
        excess = cost(gates.mirrored(u)) - cost(gates.sampled(u))
        (gradient,) = torch.autograd.grad(gates.surrogate(u, excess), gates.logits_L)
        mean += math.prod(width for _, width in cell) * gradient
    torch.testing.assert_close(mean, exact_gradient(LOGITS, k), rtol=1e-12, atol=1e-12)


def test_arms_surrogate_adds_nothing_to_the_loss():
    excess = torch.tensor([1.0, -5.0], dtype=torch.float64)
    assert gates_of(LOGITS).surrogate(torch.full((3,), 0.9), excess).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("k", [1.0, 7.0])
@pytest.mark.parametrize("draw", [Gates.sampled, Gates.mirrored])
def test_both_gate_vectors_are_open_with_probability_sigmoid(draw, k):
    u = (torch.arange(100_000, dtype=torch.float64)[:, None] + 0.5) / 100_000
    opened = draw(gates_of(LOGITS, k), u.expand(-1, 3)).mean(0)
    np.testing.assert_allclose(opened, 1 / (1 + np.exp(-k * np.array(LOGITS))), atol=2e-5)


@pytest.mark.parametrize("k", [1.0, 7.0])
def test_l0_is_the_expected_number_of_open_gates(k):
    expected = sum(1 / (1 + math.exp(-k * g)) for g in LOGITS)
    assert gates_of(LOGITS, k).expected().item() == pytest.approx(expected)


@pytest.mark.parametrize("k", [1.0, 7.0])
def test_gates_start_open_with_probability_0_95_whatever_their_steepness(k):
    assert Gates(4, k).probabilities().tolist() == pytest.approx([1 / (1 + math.exp(-3))] * 4)


def test_a_gate_is_open_in_evaluation_where_its_probability_is_above_one_half():
    gates = gates_of([3.0, 1e-3, 0.0, -2.0])
    assert gates(torch.full((1, 4), 7.0)).tolist() == [[7.0, 7.0, 0.0, 0.0]]


def trained(example="geco_l0_arm_vae", **changes):
    *_, report = train(a_run(example, **changes))
    return report


@pytest.fixture(scope="module")
def met():
    return trained(epochs=1)


def first_batch(training, train_mode):
    training.learner.train(train_mode)
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    return x, noise, training.learner(x, noise)


def test_kl_and_decoder_see_the_open_axes_alone(met):
    vae = met.training.learner.vae
    before = vae.mapping.logits_L.detach().clone()
    vae.mapping.logits_L.data[[1, 4]] = -1.0
    x, noise, terms = first_batch(met.training, train_mode=False)
    q = vae.encode(x)
    y = q.draw(noise).y_BD
    per_axis = 0.5 * (q.mean_BD**2 + q.log_variance_BD.exp() - q.log_variance_BD - 1)
    kept = [0, 2, 3, 5]
    torch.testing.assert_close(terms["kl"][1], per_axis[:, kept].sum(1))
    y[:, [1, 4]] = 0
    torch.testing.assert_close(terms["nll"][1], vae.decode(y).nll(x))
    assert (vae.mapping(vae.prior.sample(noise))[:, [1, 4]] == 0).all()
    assert met.training.validate()["val/gates_open"] == 4
    vae.mapping.logits_L.data = before


def test_the_closed_axes_of_a_narrowed_posterior_are_the_priors():
    q = Training(a_run()).learner.vae.encode(torch.rand(5, 1, 8, 8))
    narrow = narrowed(q, torch.tensor([1.0, 0, 1, 1, 0, 1]))
    assert (narrow.mean_BD[:, [1, 4]] == 0).all()
    assert (narrow.log_variance_BD[:, [1, 4]] == 0).all()
    assert torch.equal(narrow.mean_BD[:, 2], q.mean_BD[:, 2])


def test_a_training_step_takes_arms_gradient_of_kl_and_weighted_errors_at_one_u(met):
    vae = met.training.learner.vae
    before = vae.mapping.logits_L.detach().clone()
    vae.mapping.logits_L.data = torch.tensor([0.5, -0.5, 1.0, -1.0, 0.1, -0.1])
    x, noise, terms = first_batch(met.training, train_mode=True)
    u, p = noise.shared().uniform("gates", 6)[0], vae.mapping.logits_L.detach().sigmoid()
    low, high = (u < p).float(), (u > 1 - p).float()
    assert not torch.equal(low, high)
    q, y = vae.encode(x), vae.encode(x).draw(noise).y_BD
    per_axis = 0.5 * (q.mean_BD**2 + q.log_variance_BD.exp() - q.log_variance_BD - 1)
    nll, kl = zip(*[(vae.decode(y * nu).nll(x), (per_axis * nu).sum(1)) for nu in (low, high)], strict=True)
    torch.testing.assert_close(terms["nll"][1], nll[0])
    torch.testing.assert_close(terms["kl"][1], kl[0])
    multiplier = vae.extras().item()
    gap = (multiplier * (nll[1] - nll[0]) + kl[1] - kl[0]).mean().detach()
    (gradient,) = torch.autograd.grad(terms["l0"][1].mean(), vae.mapping.logits_L)
    torch.testing.assert_close(gradient, gap * (u - 0.5) + p * (1 - p), rtol=1e-4, atol=1e-5)
    vae.mapping.logits_L.data = before


def test_the_loss_is_the_lagrangian(met):
    _, _, terms = first_batch(met.training, train_mode=False)
    multiplier = met.training.learner.vae.extras().item()
    loss = sum(weight * value.mean() for weight, value in terms.values()).item()
    nll, kl, l0 = (terms[name][1].mean().item() for name in ("nll", "kl", "l0"))
    assert loss == pytest.approx(kl + l0 + multiplier * (nll - 20.0), rel=1e-5)


def test_gates_stay_open_until_the_constraint_is_met_and_move_from_then_on(met):
    never = trained("geco_l0_arm_vae, goal out of reach").training.learner.vae
    assert not never.extras.met
    assert (never.mapping.logits_L == 3.0).all()
    assert met.training.learner.vae.extras.met
    assert (met.training.learner.vae.mapping.logits_L != 3.0).all()


@pytest.mark.parametrize(("example", "sign"), [("geco_l0_arm_vae", -1), ("geco_l0_arm_vae, goal out of reach", 1)])
def test_the_multiplier_rises_while_the_constraint_is_violated_and_falls_otherwise(example, sign):
    values = [1.0, *(report.metrics["val/multiplier"] for report in train(a_run(example, epochs=3)))]
    assert all(sign * (later - earlier) > 0 for earlier, later in zip(values, values[1:], strict=False))


def test_the_multipliers_gradient_is_minus_its_slope_times_the_average():
    multiplier = Multiplier().double()
    raw = multiplier.raw.detach().item()
    value = -1.0 * multiplier.lifted(20.0, torch.tensor(2.5, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(value, multiplier.raw)
    slope = ((math.log1p(math.exp(raw + 1e-6)) ** 2) - (math.log1p(math.exp(raw - 1e-6)) ** 2)) / 2e-6
    assert value.item() == pytest.approx(-20.0)
    assert gradient.item() == pytest.approx(-2.5 * slope, rel=1e-6)


@torch.no_grad()
def test_the_average_of_the_constraint_by_hand():
    multiplier = Multiplier()
    expected = None
    for constraint, met in ((5.0, False), (3.0, False), (-600.0, True), (700.0, True)):
        multiplier.absorb(torch.tensor(constraint, dtype=torch.float64))
        expected = constraint if expected is None else 0.99 * expected + 0.01 * constraint
        assert multiplier.average.item() == pytest.approx(expected, rel=1e-12)
        assert multiplier.met.item() == met
    assert expected > 0  # which it was not a step before


def test_an_epochs_constraints_are_those_of_its_batches(monkeypatch):
    seen, absorb = [], Multiplier.absorb
    monkeypatch.setattr(Multiplier, "absorb", lambda self, value: (seen.append(value.item()), absorb(self, value)))
    report = trained(epochs=1)
    rows = [32] * 9 + [12]
    assert np.average(seen, weights=rows) == pytest.approx(report.metrics["train/nll"] - 20.0, rel=1e-6)
    average = seen[0]
    for constraint in seen[1:]:
        average = 0.99 * average + 0.01 * constraint
    assert report.training.learner.vae.extras.average.item() == pytest.approx(average, rel=1e-9)


@torch.no_grad()
def test_the_multiplier_starts_at_one_and_keeps_to_its_range():
    multiplier = Multiplier().double()
    assert multiplier().item() == pytest.approx(1.0, rel=1e-6)
    for raw, bound in ((-50.0, 1e-6), (5000.0, 1e6)):
        multiplier.raw.fill_(raw)
        multiplier.absorb(torch.zeros((), dtype=torch.float64))
        assert multiplier().item() == pytest.approx(bound, rel=1e-6)


def test_gates_are_one_draw_for_all_rows_and_workers():
    whole, part = (Noise(1, rows=rows, total=9).shared().uniform("gates", 4) for rows in (slice(0, 9), slice(5, 7)))
    assert torch.equal(whole, part)


def test_whether_the_constraint_was_met_is_asked_anew_of_loaded_weights():
    multiplier, fresh = Multiplier(), Multiplier().state_dict()
    assert not multiplier.was_met()
    multiplier.met.fill_(True)
    assert multiplier.was_met()
    multiplier.load_state_dict(fresh)
    assert not multiplier.was_met()
