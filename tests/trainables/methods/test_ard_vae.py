"""ARD-VAE's switches: how relevance weighs the Jacobian, which axes generate, and the Student-t KL in validation."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from tests.support.small_runs import a_run
from trainables import relevance
from trainables.distributions.divergences import sampled_kl
from trainables.distributions.posteriors import Gaussian
from trainables.distributions.priors import StudentTARD
from trainables.metrics.view import batches_of, look
from trainables.noise import Noise
from trainables.pictures import scores_of
from trainables.relevance import measure, published_sums
from trainables.train import Training, train


def noise(rows, seed=0):
    return Noise(seed, rows=slice(rows), total=rows)


def trained(**fields):
    return next(train(a_run(method={"name": "ard_vae", "dz_size": 101} | fields, epochs=1))).training


@pytest.mark.parametrize(("form", "count"), [("square_mean_abs", 1), ("mean_square", 2)])
def test_relevance_form_decides_the_active_count(form, count, monkeypatch):
    """Axis 0 moves one pixel everywhere with slope 1, axis 1 another, on the p = 16 % of rows beyond 1, with slope 0.4.

    The squares of the mean slopes are 1 and 0.004 (0.4 % of the total), the mean squares 1 and 0.025.
    """
    monkeypatch.setattr("trainables.relevance.INFORMATIVE", 0)  # a decoder in a sigmoid's linear part moves little
    training = Training(a_run(method={"name": "ard_vae", "relevance": form}))
    vae = training.learner.vae
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()  # the codes are N(0, I), but for axis 5, which the decoder does not look at
        first, last = [module for module in vae.encoder.modules() if isinstance(module, nn.Linear)]
        first.weight[0], last.weight[5, 0] = 1.0, 1.0
        vae.decoder[0].weight[:3, :2] = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.4]])
        vae.decoder[0].bias[2] = -0.4
        vae.decoder[2].weight[:2, :3] = 0.01 * torch.tensor([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    assert training.validate()["val/active"] == count


@pytest.mark.parametrize("at", ["samples", "means"])
def test_the_jacobian_is_taken_at_samples_or_at_means(at):
    """In a relevance of training rows, in the view of an epoch and in pictures: against one that torch takes itself."""
    training = trained(jacobian=at)
    vae, rows = training.learner.vae, training.splits.train
    x = rows.batch(torch.arange(300))
    q = vae.encode(x)
    z = q.draw(Noise(0, "relevance", 0, rows=slice(300), total=300)).y_BD if at == "samples" else q.mean_BD
    slopes = [
        torch.autograd.functional.jacobian(lambda z: vae.decode(z[None]).mean_BX.flatten(), one) for one in z[:100]
    ]
    _, sums = published_sums(vae, x, 0, slice)
    torch.testing.assert_close(sums["absolute_OD"], sum(one.double().abs() for one in slopes), rtol=1e-4, atol=1e-6)
    view = look(training.learner, batches_of(rows, 64, 0, training.device))
    assert torch.equal(view.first_JD, (view.z_ND if at == "samples" else view.mean_ND)[:100])
    with torch.no_grad():
        if at == "samples":
            z = vae.sample_latents(x, Noise(3, "pictures", rows=slice(300), total=300))
        expected = relevance.weight(relevance.sensitivity(vae, z[:100]))
        found = scores_of(vae, x, vae.represent(x), seed=3)
        torch.testing.assert_close(found.score_D, expected * found.variance_D)


@pytest.mark.parametrize("form", ["square_mean_abs", "mean_square"])
def test_generation_moves_the_active_axes_from_their_mean_by_the_second_moment(form):
    training = trained(relevance=form)
    vae, rows = training.learner.vae, training.splits.train
    with torch.no_grad():
        for part in (vae.encoder[-1].weight[2:6], vae.decoder[0].weight[:, 2:]):
            part.zero_()
        vae.encoder[-1].bias[2:6] = torch.tensor([0.5, -1.0, 2.0, 0.0])
    z = training.run.method.sampler(vae, rows, seed=4)(noise(20_000)).double()
    found = measure(vae, rows.batch(torch.arange(300)), form, seed=4)
    assert found.active().tolist()[2:] == [False] * 4
    torch.testing.assert_close(z[:, 2:], torch.tensor([0.5, -1.0, 2.0, 0.0]).double().expand(20_000, 4))
    torch.testing.assert_close(z.mean(0), found.mean_D, rtol=0, atol=0.1)
    active = found.active()
    torch.testing.assert_close(z.var(0)[active], found.variance_D[active], rtol=0.05, atol=0)


@pytest.mark.parametrize("codes", ["samples", "means"])
def test_the_priors_variance_is_the_second_moment_of_what_dz_holds(codes):
    """Of a posterior with means m and variances s2 samples have m^2 + s2, in expectation over many rows."""
    learner = trained(dz_codes=codes).learner
    rows = torch.rand(50, 1, 8, 8).repeat_interleave(400, 0)
    learner.absorb(learner.statistics(rows, noise(len(rows))))
    with torch.no_grad():
        q = learner.vae.encode(rows[::400])
    spread = q.log_variance_BD.exp() if codes == "samples" else 0.0
    expected = (q.mean_BD.square() + spread).mean(0)
    rtol = 0.05 if codes == "samples" else 1e-5
    torch.testing.assert_close(learner.vae.prior.variance_D.float(), expected, rtol=rtol, atol=0)


def test_generation_from_all_axes_moves_each_as_the_codes_lie():
    """Codes of mean c and variance v make samples of mean c and variance v + c^2, also on axes that nothing reads."""
    training = trained(generate="all")
    vae, rows = training.learner.vae, training.splits.train
    with torch.no_grad():
        vae.decoder[0].weight[:, 2:] = 0
        vae.encoder[-1].bias[3] = 2.0
        q = vae.encode(rows.batch(torch.arange(300)))
    assert (measure(vae, rows.batch(torch.arange(300))).active()[2:] == 0).all()
    mean = q.mean_BD.double().mean(0)
    second = (q.mean_BD.double().square() + q.log_variance_BD.double().exp()).mean(0)  # expected, without samples
    z = training.run.method.sampler(vae, rows, 0)(noise(100_000)).double()
    assert mean[3] > 1
    torch.testing.assert_close(z.mean(0), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(z.var(0), second, rtol=0.15, atol=0)  # of 300 samples


def test_sampled_kl_to_the_student_t_prior_matches_quadrature():
    prior = StudentTARD(1)
    prior.absorb({"rows": torch.tensor(5.0), "square_D": torch.tensor([10.0])})
    mean, sd, draws = 0.7, 0.5, 4000
    q = Gaussian(torch.full((20, 1), mean), torch.full((20, 1), 2 * math.log(sd)))
    y = np.linspace(-6, 8, 200_001)
    log_q, log_p = stats.norm.logpdf(y, mean, sd), stats.t.logpdf(y, df=5, scale=math.sqrt(2))
    exact = np.trapezoid(np.exp(log_q) * (log_q - log_p), y)
    found = sampled_kl(q, prior, noise(20), draws)
    assert found.mean().item() == pytest.approx(exact, abs=4.5 * found.std().item() / math.sqrt(20))


def test_validation_takes_64_samples_of_the_student_t_kl_and_training_one():
    training = Training(a_run("ard_vae student_t"))
    x, noise_B, _ = next(training.batches(torch.arange(64), "train"))
    learner = training.learner
    with torch.no_grad():
        q, prior = learner.vae.encode(x), learner.vae.prior
        y = q.draw(noise_B).y_BD
        torch.testing.assert_close(learner(x, noise_B)["kl"][1], q.log_prob(y) - prior.log_prob(y))
        learner.eval()
        torch.testing.assert_close(learner(x, noise_B)["kl"][1], sampled_kl(q, prior, noise_B, 64))
