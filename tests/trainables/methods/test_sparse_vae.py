"""Sparse-VAE: the spike-and-slab posterior and prior against Monte Carlo and closed forms."""

# Shapes: N draws, B rows, D dimensions.

import math

import pytest
import torch

from tests.support.small_runs import a_run
from trainables.distributions.divergences import kl
from trainables.distributions.posteriors import Draw, gaussian_log_prob
from trainables.distributions.spike_slab import SpikeAndSlab, SpikeAndSlabPrior, relaxed
from trainables.noise import Noise
from trainables.train import Training

pytestmark = pytest.mark.usefixtures("float64")


def posterior(gates=(0.03, 0.5, 0.9)):
    g = torch.Generator().manual_seed(0)
    slab, log_variance = torch.randn(2, 4, 3, generator=g)
    return SpikeAndSlab(slab, log_variance, torch.tensor(gates).expand(4, 3))


def noise(rows, seed=0):
    return Noise(seed, rows=slice(rows), total=rows)


def hard_log_density(q, y, is_open):
    """log q(y), a probability at 0 and a density elsewhere."""
    slab = q.gate_BD.log() + gaussian_log_prob(y, q.slab_BD, q.log_variance_BD)
    return torch.where(is_open, slab, (1 - q.gate_BD).log()).sum(2)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 0.7])
def test_kl_matches_monte_carlo(alpha):
    q, prior, draws = posterior(), SpikeAndSlabPrior(3, alpha), 100_000
    g = torch.Generator().manual_seed(1)
    is_open = torch.rand(draws, 4, 3, generator=g) < q.gate_BD
    y = is_open * (q.slab_BD + (0.5 * q.log_variance_BD).exp() * torch.randn(draws, 4, 3, generator=g))
    log_p = prior.log_prob(y.flatten(0, 1)).view(draws, 4)
    ratio = hard_log_density(q, y, is_open) - log_p
    error = ratio.std(0) / math.sqrt(draws)
    assert ((kl(q, prior, Draw(q.mean_BD)) - ratio.mean(0)).abs() < 4.5 * error).all()


def test_kl_of_the_prior_from_itself_is_zero():
    q = SpikeAndSlab(torch.zeros(2, 3), torch.zeros(2, 3), torch.full((2, 3), 0.2))
    torch.testing.assert_close(kl(q, SpikeAndSlabPrior(3, 0.2), Draw(q.mean_BD)), torch.zeros(2))


@pytest.mark.parametrize(("gate", "value"), [(1.0, math.log(1 / 0.2)), (0.0, math.log(1 / 0.8))])
def test_kl_of_gates_that_are_certain_is_finite(gate, value):
    """With the slab N(0, 1) what is left is -log of the prior's probability, to the clamp of 1e-6."""
    q = SpikeAndSlab(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([[gate]]))
    assert kl(q, SpikeAndSlabPrior(1, 0.2), Draw(q.mean_BD)).item() == pytest.approx(value, abs=2e-5)


@pytest.mark.parametrize("gate", [0.0, 0.01, 0.2, 0.5, 0.97, 1.0])
def test_mean_of_the_relaxed_gate_is_its_integral_and_the_gate_to_log_2_over_c(gate):
    uniform = (torch.arange(1_000_000) + 0.5) / 1_000_000
    mean = relaxed(torch.tensor(gate), uniform).mean().item()
    softplus = torch.nn.functional.softplus
    integral = (softplus(torch.tensor(50 * gate)) - softplus(torch.tensor(50 * (gate - 1)))).item() / 50
    assert mean == pytest.approx(integral, abs=1e-6)
    assert abs(mean - gate) < math.log(2) / 50 + 1e-6


def test_samples_have_the_mean_of_the_posterior():
    rows = 200_000
    q = SpikeAndSlab(torch.full((rows, 1), 1.5), torch.full((rows, 1), -1.0), torch.full((rows, 1), 0.4))
    y = q.draw(noise(rows)).y_BD
    assert y.mean().item() == pytest.approx(0.4 * 1.5, abs=4.5 * y.std().item() / math.sqrt(rows))
    assert (y.abs() < 1e-3).double().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (q.mean_BD == 0.4 * 1.5).all()


def test_gate_is_exp_of_minus_relu_of_minus_a():
    q = SpikeAndSlab.of(torch.tensor([[0.3, -0.4, -2.0], [0.0, 0.0, 5.0]]))
    torch.testing.assert_close(q.gate_BD, torch.tensor([[math.exp(-2)], [1.0]]))
    assert q.slab_BD.tolist() == [[0.3], [0.0]] and q.log_variance_BD.tolist() == [[-0.4], [0.0]]


def test_prior_samples_are_zero_or_normal():
    y = SpikeAndSlabPrior(5, 0.2).sample(noise(40_000))
    on = y[y != 0]
    assert len(on) / y.numel() == pytest.approx(0.2, abs=4.5 * math.sqrt(0.16 / 200_000))
    assert on.mean().item() == pytest.approx(0, abs=4.5 / math.sqrt(len(on)))
    assert on.std().item() == pytest.approx(1, abs=4.5 / math.sqrt(2 * len(on)))


def test_prior_density_of_zeros_and_slabs():
    log_p = SpikeAndSlabPrior(2, 0.25).log_prob(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    slab = math.log(0.25) - 0.5 - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log_p, torch.tensor([2 * math.log(0.75), math.log(0.75) + slab]))


@pytest.mark.parametrize(("generate", "share"), [("prior", 0.8), ("normal", 0.0)])
def test_generation_is_from_the_prior_or_as_in_the_official_code(generate, share):
    training = Training(a_run(method={"name": "sparse_vae", "generate": generate}))
    sample = training.run.method.sampler(training.learner.vae, training.splits.train, 0)
    assert (sample(noise(2000)) == 0).double().mean().item() == pytest.approx(share, abs=0.02)
