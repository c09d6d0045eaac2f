"""The Sylvester flow against autograd's Jacobian, scipy, quadrature and loops."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch.func import jacrev

from tests.support.small_runs import a_run
from trainables.distributions.divergences import kl
from trainables.distributions.flows import Sylvester, SylvesterHead, orthonormal
from trainables.distributions.posteriors import Gaussian
from trainables.distributions.priors import Normal
from trainables.methods.sylvester_vae import SylvesterVAE
from trainables.noise import Noise
from trainables.train import Training

ROWS = 40_000


pytestmark = pytest.mark.usefixtures("float64")


def flow_of(dim, columns=8, steps=4, rows=5, seed=0):
    head = SylvesterHead(steps, columns)
    return head.of(torch.randn(rows, head.outputs(dim), generator=torch.Generator().manual_seed(seed)))


def repeated(q, rows):
    """The first row's posterior, in every row."""

    def first(part):
        return part[:1].expand(rows, *part.shape[1:])

    base = Gaussian(first(q.base.mean_BD), first(q.base.log_variance_BD))
    return Sylvester(base, *map(first, (q.q_BSDM, q.first_BSMM, q.second_BSMM, q.bias_BSM)))


def noise_of(rows):
    return Noise(0, rows=slice(0, rows), total=rows)


@pytest.mark.parametrize(("dim", "columns"), [(1, 8), (1, 1), (3, 8), (6, 3), (10, 8), (8, 8)])
def test_log_determinant_matches_autograds_jacobian(dim, columns):
    q = flow_of(dim, columns)
    y_BD = 2 * torch.randn(5, dim, generator=torch.Generator().manual_seed(1))
    _, log_det_B = q.flow(y_BD)
    jacobian_BDBD = jacrev(lambda y: q.flow(y)[0])(y_BD)
    for row in range(5):
        sign, expected = torch.linalg.slogdet(jacobian_BDBD[row, :, row])
        assert sign == 1
        assert log_det_B[row].item() == pytest.approx(expected.item(), rel=1e-7, abs=1e-10)
    assert log_det_B.abs().max() > 0.05


def test_a_row_is_moved_by_its_own_numbers_only():
    q = flow_of(4)
    jacobian_BDBD = jacrev(lambda y: q.flow(y)[0])(torch.randn(5, 4))
    jacobian_BDBD[torch.arange(5), :, torch.arange(5)] = 0
    assert (jacobian_BDBD == 0).all()


@pytest.mark.parametrize("dim", [1, 2, 7, 8, 9, 50])
def test_the_head_tells_the_dimension_and_takes_no_more_columns_than_there_are(dim):
    q = flow_of(dim)
    assert q.base.mean_BD.shape == q.base.log_variance_BD.shape == (5, dim)
    assert q.q_BSDM.shape == (5, 4, dim, min(8, dim))


def test_the_head_of_the_papers_size_counts_its_numbers():
    """50 latents, 8 columns, 4 steps: 2 * 50 + 4 * (50 * 8 + 8 * 8 + 2 * 8 + 8)."""
    assert SylvesterHead(4, 8).outputs(50) == 2052


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (50, 8), (9, 8)])
def test_columns_become_orthonormal_the_nearest_there_are(shape):
    a = torch.randn(20, *shape, generator=torch.Generator().manual_seed(2))
    found = orthonormal(a)
    torch.testing.assert_close(found.mT @ found, torch.eye(shape[1]).expand(20, -1, -1), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, torch.stack([torch.from_numpy(linalg.polar(some)[0]) for some in a.numpy()]))


def test_columns_that_are_all_zero_give_no_nan():
    assert (orthonormal(torch.zeros(1, 3, 2)) == 0).all()


def test_triangles_are_upper_and_their_diagonals_between_minus_one_and_one():
    q = flow_of(6, 3)
    for matrix_BSMM in (q.first_BSMM, q.second_BSMM):
        assert torch.equal(matrix_BSMM, matrix_BSMM.triu())
        assert (matrix_BSMM.diagonal(dim1=2, dim2=3).abs() < 1).all()
        assert (matrix_BSMM.triu(1) != 0).sum() == 5 * 4 * 3


def test_the_flow_matches_a_loop_over_rows_and_steps():
    q = flow_of(6, 3)
    y_BD = torch.randn(5, 6)
    for row, found in enumerate(q.flow(y_BD)[0]):
        y = y_BD[row].numpy()
        for step in range(4):
            frame, first, second, bias = (
                part[row, step].numpy() for part in (q.q_BSDM, q.first_BSMM, q.second_BSMM, q.bias_BSM)
            )
            y = y + frame @ (first @ np.tanh(second @ (frame.T @ y) + bias))
        np.testing.assert_allclose(found, y, rtol=1e-12)


def test_density_of_samples_in_one_dimension_is_that_of_the_flow():
    """The flow of a fine grid of y_0 is increasing; its density integrates to one and draws follow it."""
    q = flow_of(1, seed=4)
    start = q.base.mean_BD[0] + q.base.log_variance_BD[0].div(2).exp() * torch.linspace(-8, 8, 4001)[:, None]
    grid = repeated(q, 4001)
    y, log_det = grid.flow(start)
    y, log_q = y[:, 0].numpy(), (grid.base.log_prob(start) - log_det).numpy()
    assert (np.diff(y) > 0).all()
    cumulative = np.concatenate([[0], np.cumsum(np.diff(y) * (np.exp(log_q)[1:] + np.exp(log_q)[:-1]) / 2)])
    assert cumulative[-1] == pytest.approx(1.0, abs=1e-5)
    drawn = repeated(q, ROWS).draw(noise_of(ROWS)).y_BD[:, 0].numpy()
    assert stats.kstest(drawn, lambda at: np.interp(at, y, cumulative)).pvalue > 1e-3


def test_log_q_of_a_draw_is_a_density():
    """E_q[p / q] = 1 for any density p: here a Gaussian near the flow's samples."""
    q = repeated(flow_of(3, seed=5), ROWS)
    drawn = q.draw(noise_of(ROWS))
    centre = Gaussian(drawn.y_BD.mean(0).expand(ROWS, 3), drawn.y_BD.var(0).div(4).log().expand(ROWS, 3))
    ratio_B = (centre.log_prob(drawn.y_BD) - drawn.log_q()).exp()
    assert ratio_B.mean().item() == pytest.approx(1.0, abs=4.5 * ratio_B.std().item() / math.sqrt(ROWS))
    assert ratio_B.std() < 5


def test_a_flow_that_stays_where_it_is_is_the_gaussian():
    head = SylvesterHead(2, 3)
    features_BE = torch.randn(4, head.outputs(5))
    features_BE[:, 10 + 2 * 5 * 3 :] = 0  # triangles, diagonals, biases
    q, gaussian = head.of(features_BE), Gaussian.of(features_BE[:, :10])
    drawn, plain = q.draw(noise_of(4)), gaussian.draw(noise_of(4))
    torch.testing.assert_close(drawn.y_BD, plain.y_BD)
    torch.testing.assert_close(kl(q, Normal(5), drawn), plain.log_q() - Normal(5).log_prob(plain.y_BD))
    torch.testing.assert_close(q.mean_BD, gaussian.mean_BD)


@torch.no_grad()
def test_the_model_has_the_flows_rate_and_represents_a_row_by_the_flow_of_its_mean():
    run = a_run("sylvester_vae")
    training = Training(run)
    x, noise, _ = next(training.batches(torch.arange(32), "train"))
    seen = training.learner.vae(x, noise)
    start = seen.q.base.draw(noise)
    y_BD, log_det_B = seen.q.flow(start.y_BD)
    rate_B = start.log_q() - log_det_B - stats.norm.logpdf(y_BD).sum(1)
    torch.testing.assert_close(run.method.terms(seen)["kl"][1], rate_B)
    torch.testing.assert_close(training.learner.vae.represent(x), seen.q.flow(seen.q.base.mean_BD)[0])


@pytest.mark.parametrize(
    ("columns", "latent_dim", "wrong"), [(None, 1, []), (8, 8, []), (8, 7, ["columns"]), (2, 1, ["columns"])]
)
def test_more_columns_than_latent_dimensions_are_a_mistake(columns, latent_dim, wrong):
    assert [path for path, _ in SylvesterVAE(columns=columns).mistakes(latent_dim, 100)] == wrong
