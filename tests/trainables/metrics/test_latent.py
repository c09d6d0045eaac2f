"""Active counts, pruned reconstructions, rates and latent MMD against closed forms, loops and samples."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from tests.support.small_runs import METHODS, a_run
from trainables import sums
from trainables.common.errors import Undefined
from trainables.distributions.mmd import DISCREPANCIES
from trainables.distributions.priors import Logistic, Normal
from trainables.methods.modules.mask import Mask
from trainables.metrics import latent_mmd as mmd_metric
from trainables.metrics import rate, reconstruction
from trainables.metrics.active import active_counts
from trainables.metrics.latent_mmd import between, latent_mmd
from trainables.noise import Noise
from trainables.relevance import Relevance, measure
from trainables.relevance import moments as moments_of
from trainables.train import Training


def noise_for(rows, total=None, seed=0):
    rows = rows if isinstance(rows, slice) else slice(rows)
    return Noise(seed, "test", rows=rows, total=total or rows.stop)


def moments_of_one_row(z_D):
    return moments_of(z_D[None], torch.zeros(1, len(z_D)))


def test_active_counts_take_both_weights_and_three_shares():
    """Axis scores of the code's weight are 100, 4, 0.5 and 0.05 parts; those of equation 19 are all equal."""
    moments = moments_of_one_row(torch.ones(4).double())
    mean_abs = torch.tensor([100.0, 4.0, 0.5, 0.05]).double().sqrt()
    sensitivity = {
        "jacobian_rows": torch.tensor(1.0),
        "absolute_OD": mean_abs[None],
        "square_D": torch.ones(4).double(),
    }
    assert active_counts(moments, sensitivity) == {
        "active_95": 1, "active_99": 2, "active_99.9": 3,
        "active_eq19_95": 4, "active_eq19_99": 4, "active_eq19_99.9": 4,
        "active_w_95": 1, "active_w_99": 2, "active_w_99.9": 3,
        "active_w_eq19_95": 4, "active_w_eq19_99": 4, "active_w_eq19_99.9": 4,
    }  # fmt: skip


def test_a_model_without_a_live_axis_has_no_active_one():
    moments = moments_of_one_row(torch.zeros(2).double())
    sensitivity = {"jacobian_rows": torch.tensor(1.0), "absolute_OD": torch.ones(3, 2), "square_D": torch.ones(2)}
    found = active_counts(moments, sensitivity)
    assert {value for name, value in found.items() if "_w_" not in name} == {0.0}
    assert {value for name, value in found.items() if "_w_" in name} == {2.0}  # the decoder alone would see both
    dead = {name: 0 * value for name, value in sensitivity.items()} | {"jacobian_rows": torch.tensor(1.0)}
    assert set(active_counts(moments, dead).values()) == {0.0}


@pytest.fixture(scope="module")
def model():
    training = Training(a_run("ard_vae"))
    x = training.splits.val.batch(torch.arange(60))
    return training.learner.vae.eval(), x


def mse(vae, x, z):
    with torch.no_grad():
        return (vae.decode(z).mean_BX - x).double().square().mean().item()


def test_squared_errors_are_those_of_the_three_latents(model):
    vae, x = model
    found = Relevance(torch.tensor([1.0, 0, 1, 0, 0, 0]), torch.arange(6).double(), torch.ones(6))
    numbers = reconstruction.finish(reconstruction.statistics(vae, x, noise_for(60), found))
    with torch.no_grad():
        q = vae.encode(x)
        mean, drawn = q.mean_BD.clone(), q.draw(noise_for(60)).y_BD
    pruned, code = mean.clone(), mean.clone()
    for axis in range(6):
        if axis in (0, 2):
            code[:, axis] = drawn[:, axis]
        else:
            pruned[:, axis] = axis
    expected = {"mse": mse(vae, x, mean), "mse_pruned": mse(vae, x, pruned), "mse_pruned_code": mse(vae, x, code)}
    expected |= {f"{name}_data_units": value for name, value in expected.items()}  # of data in [0, 1]
    assert numbers == pytest.approx(expected, rel=1e-6)


def test_with_every_axis_relevant_pruning_changes_nothing(model):
    vae, x = model
    numbers = reconstruction.finish(reconstruction.statistics(vae, x, noise_for(60), measure(vae, x)))
    everything = Relevance(torch.ones(6), torch.zeros(6), torch.ones(6))
    unpruned = reconstruction.finish(reconstruction.statistics(vae, x, noise_for(60), everything))
    assert unpruned["mse_pruned"] == unpruned["mse"] == numbers["mse"]


def test_errors_count_as_those_of_images_from_0_to_1_and_in_the_datas_units(model, monkeypatch):
    vae, x = model
    found = measure(vae, x)
    with monkeypatch.context() as patch:
        patch.setattr(vae, "data_range", (-1.0, 1.0))
        with torch.no_grad():
            expected = (vae.decode(vae.represent(x)).mean_BX - x).double().square().mean().item()
        numbers = reconstruction.finish(reconstruction.statistics(vae, x, noise_for(60), found))
        assert numbers["mse_data_units"] == pytest.approx(expected, rel=1e-6)
        for name in ("mse", "mse_pruned", "mse_pruned_code"):
            assert numbers[name] == pytest.approx(numbers[f"{name}_data_units"] / 4, rel=1e-12)
    assert set(numbers) == set(reconstruction.NAMES)


@pytest.mark.parametrize("example", ["ard_vae", "sylvester_vae", "wae_mmd", "vimae logistic"])
def test_sums_of_shares_are_those_of_the_whole(example):
    vae = Training(a_run(example)).learner.vae.double().eval()
    x = torch.rand(7, 1, 8, 8, dtype=torch.float64)
    found = Relevance(torch.ones(6), torch.zeros(6), torch.ones(6))
    parts = [slice(0, 3), slice(3, 7)]
    for one, several in (
        (rate.statistics(vae, x, noise_for(7), 3), [rate.statistics(vae, x[p], noise_for(p, 7), 3) for p in parts]),
        (
            reconstruction.statistics(vae, x, noise_for(7), found),
            [reconstruction.statistics(vae, x[p], noise_for(p, 7), found) for p in parts],
        ),
    ):
        for name, value in sums.add(several).items():
            torch.testing.assert_close(value, one[name].double(), rtol=1e-10, atol=1e-12)


def test_the_rate_of_a_gaussian_code_is_torchs_closed_form():
    vae = Training(a_run("vae")).learner.vae.eval()
    x = torch.rand(9, 1, 8, 8)
    with torch.no_grad():
        q = vae.encode(x)
    expected = kl_divergence(
        torch.distributions.Normal(q.mean_BD, (q.log_variance_BD / 2).exp()), torch.distributions.Normal(0, 1)
    )
    assert rate.finish(rate.statistics(vae, x, noise_for(9))) == {"rate": pytest.approx(expected.sum().item() / 9)}


def test_without_a_closed_form_the_rate_is_a_mean_over_draws():
    """A Gaussian against N(0, I) has one: the sampled rate must agree with it within the noise of 9 x 4000 draws."""
    vae = Training(a_run("vae")).learner.vae.eval()
    x = torch.rand(9, 1, 8, 8)
    exact = rate.finish(rate.statistics(vae, x, noise_for(9)))["rate"]

    class Unknown(Normal):
        """N(0, I) under another name."""

    vae.prior = Unknown(6)
    found = rate.finish(rate.statistics(vae, x, noise_for(9), draws=2000))["rate"]
    assert found != exact
    assert found == pytest.approx(exact, abs=0.05)


class LinearEncoder(nn.Module):
    """E(x) = W x: J = W."""

    def __init__(self, w, prior):
        super().__init__()
        self.w, self.prior, self.mapping = nn.Parameter(w), prior, nn.Identity()

    def encode(self, x):
        return rate.Point(x.flatten(1) @ self.w.T)


def a_linear_encoder(prior, dim=3):
    w = torch.randn(dim, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return LinearEncoder(w, prior), w, x


def test_the_surrogate_rate_of_a_linear_encoder_is_the_gaussians_kl():
    vae, w, x = a_linear_encoder(Normal(3))
    code = MultivariateNormal(x.flatten(1) @ w.T, 0.0088**2 * w @ w.T + 1e-10 * torch.eye(3))
    expected = kl_divergence(code, MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double()))
    torch.testing.assert_close(rate.surrogate(vae, x, noise_for(5)), expected.detach(), rtol=1e-9, atol=0)
    assert list(rate.finish(rate.statistics(vae, x, noise_for(5)))) == ["surrogate_rate"]


def test_derivatives_are_held_of_as_many_rows_as_fit(monkeypatch):
    vae, w, x = a_linear_encoder(Normal(3))
    held, true = [], rate.jacobian
    monkeypatch.setattr(rate, "jacobian", lambda vae, some: held.append(len(some)) or true(vae, some))
    whole = rate.surrogate(vae, x, noise_for(5))
    one = 2 * 3 * 8 + 2 * 8 * 3 * 8  # the code and its gradient, then the derivatives of 3 axes by 8 values, twice
    monkeypatch.setattr(rate, "JACOBIAN_BYTES", 2 * one + 1)
    torch.testing.assert_close(rate.surrogate(vae, x, noise_for(5)), whole, rtol=1e-12, atol=0)
    assert held == [5, 2, 2, 1]


def test_the_surrogate_rate_against_another_prior_is_sampled():
    vae, w, x = a_linear_encoder(Logistic(3))
    code = MultivariateNormal(x.flatten(1) @ w.T, 0.0088**2 * w @ w.T + 1e-10 * torch.eye(3))
    y = code.sample((5000,))
    expected = (code.log_prob(y) - Logistic(3).log_prob(y.flatten(0, 1)).reshape(5000, 5)).mean(0)
    found = rate.surrogate(vae, x, noise_for(5), draws=500).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=0.12)


def test_a_dead_encoder_has_a_finite_surrogate_rate():
    """Its code is N(0, 1e-10 I): 1/2 (1e-10 - 1 - log 1e-10) nats an axis."""
    vae, w, x = a_linear_encoder(Normal(3))
    vae.w.data.zero_()
    expected = 1.5 * (1e-10 - 1 - math.log(1e-10))
    assert rate.surrogate(vae, x, noise_for(5)).tolist() == pytest.approx([expected] * 5)


def test_axes_that_a_mask_closes_have_no_surrogate_rate():
    """What the encoder does on them, here nothing, is nothing that the decoder uses."""
    vae, w, x = a_linear_encoder(Normal(3))
    vae.w.data[2] = 0
    assert rate.surrogate(vae, x, noise_for(5)).mean() > 11  # of a dead axis that is open
    vae.mapping = Mask(3)
    vae.mapping.m_L.data = torch.tensor([2.0, 0.2, 0.0])
    narrow, _, _ = a_linear_encoder(Normal(2))
    narrow.w.data = vae.w.data[:2]
    torch.testing.assert_close(rate.surrogate(vae, x, noise_for(5)), rate.surrogate(narrow, x, noise_for(5)))
    vae.mapping.m_L.data.zero_()
    with pytest.raises(Undefined, match="all axes are closed"):
        rate.surrogate(vae, x, noise_for(5))


@pytest.mark.parametrize("example", METHODS)
def test_every_method_has_a_rate_or_its_surrogate(example):
    vae = Training(a_run(example)).learner.vae
    (value,) = rate.finish(rate.statistics(vae, torch.rand(4, 1, 8, 8), noise_for(4), draws=2)).values()
    assert math.isfinite(value)


@pytest.mark.parametrize("name", DISCREPANCIES)
def test_the_statistic_is_the_trainings(name):
    a, b = torch.randn(30, 4, dtype=torch.float64), torch.randn(20, 4, dtype=torch.float64)
    assert between(DISCREPANCIES[name], a, b) == pytest.approx(DISCREPANCIES[name].between(a, b).item(), rel=1e-10)


def test_codes_of_the_prior_are_near_0_and_others_are_not():
    codes = torch.randn(1200, 3, generator=torch.Generator().manual_seed(0))
    near, far = (latent_mmd(some, Normal(3), sample=300, repeats=3) for some in (codes, codes + 2))
    assert abs(near["mmd_imq"]) < 0.05 < 0.5 < far["mmd_imq"]
    assert near["mmd_rbf"] < 0.02 < 0.1 < far["mmd_rbf"]
    assert latent_mmd(codes, Normal(3), 300, 3) == near != latent_mmd(codes, Normal(3), 300, 3, seed=1)


def test_codes_fewer_than_a_draw_are_refused():
    with pytest.raises(Undefined, match="10 codes, 1000 needed"):
        latent_mmd(torch.zeros(10, 2), Normal(2))


def test_closed_axes_take_no_part_in_the_discrepancy():
    codes = torch.randn(1200, 3, generator=torch.Generator().manual_seed(0))
    opened = torch.tensor([True, False, True])
    far = codes + 8 * ~opened
    found = latent_mmd(far, Normal(3), 300, 3, opened_D=opened)
    assert abs(found["mmd_imq"]) < 0.05 < 0.5 < latent_mmd(far, Normal(3), 300, 3)["mmd_imq"]
    assert found == latent_mmd(codes, Normal(3), 300, 3, opened_D=opened)
    with pytest.raises(Undefined, match="all axes are closed"):
        latent_mmd(codes, Normal(3), 300, 3, opened_D=opened & False)


def test_distances_of_close_points_far_away_keep_their_digits():
    a, step = torch.full((1, 5), 1e4), torch.tensor([0.25, 0, 0, 0, 0])
    assert mmd_metric.squared_distances(a, a + step).item() == 0.0625


def test_each_repeat_draws_other_codes_and_other_samples_of_the_prior():
    codes = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    first, second = (mmd_metric._drawn(codes, Normal(2), 20, 0, repeat) for repeat in range(2))
    assert all((a != b).any() for a, b in zip(first, second, strict=True))
    assert math.isfinite(latent_mmd(codes, Normal(2), sample=50, repeats=1)["mmd_imq"])  # just enough codes
