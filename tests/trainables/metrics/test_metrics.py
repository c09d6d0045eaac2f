"""Relevance and the metrics of every epoch: closed forms, reference values, good, bad and degenerate inputs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.small_runs import METHODS as EXAMPLES
from tests.support.small_runs import a_run
from trainables import relevance as scoring
from trainables.metrics import DIRECTIONS, METRICS, OF_NAMES, metrics_of
from trainables.metrics.basic import hoyer, mean_of
from trainables.metrics.view import ModelView, batches_of, look
from trainables.networks.ard import ArdCifar10
from trainables.relevance import Relevance, measure, moments, published_sums, relevance, sensitivity, weight
from trainables.train import Training, train


class Decoder(nn.Module):
    """x = tanh(z W): the Jacobian is known."""

    def __init__(self, w):
        super().__init__()
        self.w = w

    def decode(self, z, precision=None):
        x = torch.tanh(z @ self.w)
        return type("Decoded", (), {"mean_BX": x.reshape(len(z), 1, *self.shape)})


def a_decoder(dim=5, height=2, width=3, seed=0):
    decoder = Decoder(
        torch.randn(dim, height * width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )
    decoder.shape = (height, width)
    return decoder


def jacobians(decoder, z):
    """By hand: d tanh(z W)_o / dz_d = (1 - tanh^2) W_do."""
    return np.stack([(1 - np.tanh(row @ decoder.w.numpy()) ** 2)[:, None] * decoder.w.numpy().T for row in z.numpy()])


def test_weights_match_the_jacobian_by_hand_in_both_forms():
    decoder = a_decoder(dim=11)
    z = torch.randn(7, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    j = jacobians(decoder, z)
    sums = sensitivity(decoder, z)
    np.testing.assert_allclose(weight(sums, "mean_square"), (j**2).mean(0).sum(0), rtol=1e-12)
    np.testing.assert_allclose(weight(sums, "square_mean_abs"), (np.abs(j).mean(0) ** 2).sum(0), rtol=1e-12)


@pytest.mark.parametrize(("directions", "held"), [(40, [13] * 3), (26, [13] * 4), (6, [6, 6, 1] * 7), (0, [1] * 91)])
def test_rows_and_axes_are_taken_as_many_at_a_time_as_fit(monkeypatch, directions, held):
    """A row's derivative along an axis: a product and its tanh, then two of float64, of 6 values each."""
    decoder = a_decoder(dim=13)
    z = torch.randn(7, 13, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    whole = sensitivity(decoder, z)
    found, true = [], scoring.vmap
    monkeypatch.setattr(scoring, "vmap", lambda along: lambda axes: found.append(len(axes)) or true(along)(axes))
    monkeypatch.setattr(scoring, "JACOBIAN_BYTES", directions * 4 * 6 * 8)
    some = sensitivity(decoder, z)
    assert found == held
    for name, value in whole.items():
        torch.testing.assert_close(some[name], value, rtol=1e-12, atol=0)


def test_of_ard_vaes_network_for_cifar10_few_axes_of_one_row_fit():
    """100 rows along all 128 axes would hold 60 GB."""
    network = ArdCifar10(latent_dim=128)
    vae = nn.Module()
    vae.shape, vae.decoder = (3, 32, 32), network.decoder((3, 32, 32), 128, 1).eval()
    vae.decode = lambda z, precision: SimpleNamespace(mean_BX=vae.decoder(z))
    with torch.no_grad():
        rows, axes = scoring.at_once(vae, torch.zeros(100, 128))
    activations = 2 * (1024 * 8 * 8 + 512 * 16 * 16 + 256 * 32 * 32) * 4  # batch norm and ReLU make as much as a layer
    assert rows == 1 and 1 <= axes <= scoring.JACOBIAN_BYTES // activations


def test_the_published_codes_weight_is_never_above_equation_19():
    decoder, z = a_decoder(), torch.randn(50, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sums = sensitivity(decoder, z)
    assert (weight(sums, "square_mean_abs") <= weight(sums, "mean_square") * (1 + 1e-12)).all()


def test_sensitivity_sums_add_up_over_shares():
    decoder, z = a_decoder(), torch.randn(9, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole, parts = sensitivity(decoder, z), [sensitivity(decoder, some) for some in z.split([4, 5])]
    for name, value in whole.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("form", ["square_mean_abs", "mean_square"])
def test_relevance_is_invariant_when_axes_are_rescaled(form):
    decoder, c = a_decoder(), torch.tensor([0.01, 1.0, 5.0, 100.0, 0.3], dtype=torch.float64)
    z = torch.randn(40, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    rescaled = Decoder(decoder.w / c[:, None])
    rescaled.shape = decoder.shape
    before = relevance(moments(z, z), sensitivity(decoder, z), form).score_D
    after = relevance(moments(c * z, c * z), sensitivity(rescaled, c * z), form).score_D
    torch.testing.assert_close(after, before, rtol=1e-10, atol=0)


def scored(*scores):
    score = torch.tensor(scores, dtype=torch.float64)
    return Relevance(score, torch.arange(len(scores)).double(), torch.full_like(score, 4.0))


def test_the_axis_that_crosses_99_percent_is_included():
    assert scored(98.0, 0.5, 1.5).active().tolist() == [True, False, True]
    assert scored(1.0, 1.0, 1.0, 1.0).active().tolist() == [True] * 4
    assert scored(99.5, 0.25, 0.25).active().tolist() == [True, False, False]
    assert scored(99.0, 1.0).active().tolist() == [True, True]  # exactly 99 % does not exceed 99 %
    assert scored(0.0, 0.0).active().tolist() == [False, False]
    assert scored(90.0, 8.0, 2.0).active(0.95).tolist() == [True, True, False]


def test_pruned_generation_moves_only_active_axes():
    z = scored(50.0, 0.0, 50.0).sample(torch.ones(2, 3))
    assert z.tolist() == [[2.0, 1.0, 4.0]] * 2  # m + sqrt(s) * 1 on axes 0 and 2, m on axis 1


def test_measure_uses_the_given_rows_and_finds_a_dead_axis():
    training = next(train(a_run("ard_vae", epochs=1))).training
    vae = training.learner.vae
    first = next(m for m in vae.decoder.modules() if isinstance(m, nn.Linear))
    first.weight.data[:, 3] = 0
    found = measure(vae, training.splits.train.batch(torch.arange(250)))
    assert found.score_D[3] == 0
    assert not found.active()[3]
    with torch.no_grad():
        mean = vae.represent(training.splits.train.batch(torch.arange(250))).double().mean(0)
    torch.testing.assert_close(found.mean_D, mean, rtol=1e-5, atol=1e-6)


def a_view(z):
    return ModelView(None, {"mse": z.double().square().mean(1)}, z, z, z[:0], z[:0])


@pytest.mark.parametrize(("dim", "expected"), [(8, 0.273), (10, 0.266), (50, 0.231), (64, 0.228), (128, 0.220)])
def test_hoyer_of_gaussian_codes_is_the_reference_value(dim, expected):
    z = torch.randn(20_000, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert hoyer(a_view(z)) == pytest.approx(expected, abs=0.002)


def test_hoyer_of_laplace_codes_and_of_random_gates_is_the_reference_value():
    g = torch.Generator().manual_seed(1)
    signs = torch.randint(0, 2, (20_000, 50), generator=g) * 2 - 1
    laplace = signs * -torch.rand(20_000, 50, generator=g, dtype=torch.float64).log()
    assert hoyer(a_view(laplace)) == pytest.approx(0.327, abs=0.002)


def test_hoyer_of_one_hot_and_of_constant_magnitude_codes():
    assert hoyer(a_view(torch.eye(16).repeat(10, 1))) == pytest.approx(1.0, abs=1e-12)
    signs = torch.randint(0, 2, (64, 16), generator=torch.Generator().manual_seed(2)) * 2.0 - 1
    balanced = torch.cat([signs, -signs])
    assert hoyer(a_view(balanced)) == pytest.approx(0.0, abs=1e-12)


def test_hoyer_does_not_depend_on_the_scale_of_an_axis():
    z = torch.randn(500, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert hoyer(a_view(z * torch.tensor([1e-3, 1, 10, 1e4, 1, 2]))) == pytest.approx(hoyer(a_view(z)), rel=1e-9)


def test_hoyer_of_degenerate_codes_is_between_0_and_1():
    """A row that says nothing, as of a collapsed model or alone in its split, is no sparse one: it counts 0."""
    assert hoyer(a_view(torch.randn(10, 1))) == 0.0
    still = torch.cat([torch.randn(100, 3), torch.full((100, 5), 7.0)], dim=1)
    assert 0 < hoyer(a_view(still)) < 1
    assert [hoyer(a_view(z)) for z in (torch.zeros(10, 4), torch.full((10, 4), 3.0), torch.randn(1, 4))] == [0, 0, 0]
    one_of_four = torch.tensor([[0.0, 0], [0, 0], [0, 0], [2, 0]])  # its row scores 1, the others 0
    assert hoyer(a_view(one_of_four)) == pytest.approx(0.25)


def test_means_are_over_rows():
    z = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    assert mean_of("mse")(a_view(z)) == 5.0


def test_validation_metrics_match_a_loop_over_rows():
    run = a_run("beta_vae", epochs=1)
    report = next(train(run))
    training, vae = report.training, report.training.learner.vae
    nll = mse = 0.0
    from trainables.noise import Noise

    for start in range(0, 90, 32):
        index = torch.arange(start, min(start + 32, 90))
        x = training.splits.val.batch(index)
        noise = Noise(run.seed, "look", start, rows=slice(0, len(index)), total=len(index))
        with torch.no_grad():
            decoded = vae(x, noise).decoded.mean_BX
        for row, mean in zip(x.double(), decoded.double(), strict=True):
            nll += ((row - mean) ** 2).sum().item() / 90
            mse += ((row - mean) ** 2).mean().item() / 90
    assert report.metrics["val/nll"] == pytest.approx(nll, rel=1e-6)
    assert report.metrics["val/mse"] == pytest.approx(mse, rel=1e-6)


def test_a_view_has_every_row_on_the_mapping_and_the_first_hundred_for_the_jacobian():
    training = Training(a_run("intel_vae sphere"))
    rows, vae = training.splits.train, training.learner.vae
    training.learner.train()
    view = look(training.learner, batches_of(rows, 64, 0, training.device))
    assert not training.learner.training
    torch.testing.assert_close(view.z_ND.norm(dim=1), torch.ones(300))
    assert (view.first_JD == view.z_ND[:100]).all() and len(view.first_JD) == 100
    with torch.no_grad():
        torch.testing.assert_close(view.mean_ND, vae.represent(rows.batch(torch.arange(300))))


def test_published_sums_are_of_every_row_on_the_mapping_and_of_the_first_hundred_jacobians():
    training = Training(a_run("intel_vae sphere"))
    training.learner.train()
    vae, x = training.learner.vae, training.splits.train.batch(torch.arange(300)).repeat(4, 1, 1, 1)
    moment_sums, sensitivity_sums = published_sums(vae, x, 0, slice)
    assert not vae.training
    assert moment_sums["rows"] == 1200 and sensitivity_sums["jacobian_rows"] == 100
    assert moment_sums["second_D"].sum().item() == pytest.approx(1200, rel=1e-6)  # on the unit sphere
    with torch.no_grad():
        torch.testing.assert_close(moment_sums["mean_D"], vae.represent(x).double().sum(0), rtol=1e-5, atol=1e-4)


def test_only_ard_has_variances():
    names = {name: [m.name for m in metrics_of(a_run(name).method)] for name in ("vae", "ard_vae")}
    assert set(names["ard_vae"]) - set(names["vae"]) == {"variance_min", "variance_max"}


def test_axes_of_a_flow_are_not_counted():
    names = {name: {m.name for m in metrics_of(a_run(name).method)} for name in ("vae", "sylvester_vae")}
    assert names["vae"] - names["sylvester_vae"] == {"active"}


def test_every_metric_is_of_some_method():
    assert {metric for example in EXAMPLES for metric in metrics_of(a_run(example).method)} == set(METRICS)


def test_every_metric_and_term_has_a_direction_or_none():
    names = {name for example in EXAMPLES for name in a_run(example).metric_names()}
    assert names <= DIRECTIONS.keys() and {f"val/{metric.name}" for metric in METRICS} <= DIRECTIONS.keys()
    assert {part for name in names for part in [name.partition("/")[2]]} == OF_NAMES.keys()


def test_variances_are_those_of_the_prior():
    report = next(train(a_run("ard_vae")))
    variance = report.training.learner.vae.prior.variance_D
    assert report.metrics["val/variance_min"] == variance.min().item()
    assert report.metrics["val/variance_max"] == variance.max().item()


def test_validation_draws_do_not_change_between_epochs():
    """With frozen weights the metrics of two epochs are the same."""
    training = Training(a_run())
    assert training.validate() == training.validate()


def test_hoyer_divides_each_axis_by_its_deviation_about_the_mean():
    z = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + torch.tensor(
        [5.0, 0.0, 1]
    )
    scaled = z.numpy() / z.numpy().std(0)
    ratio = np.abs(scaled).sum(1) / np.sqrt((scaled**2).sum(1))
    assert hoyer(a_view(z)) == pytest.approx(((np.sqrt(3) - ratio) / (np.sqrt(3) - 1)).mean(), rel=1e-12)
