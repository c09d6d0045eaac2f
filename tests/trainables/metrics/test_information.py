"""Entropies of codes against closed forms and a brute-force neighbour, and of codes that have none."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import digamma

from trainables.common.errors import Undefined
from trainables.metrics.information import gaussian_entropy, information, neighbour_entropy

NORMAL = 0.5 * math.log(2 * math.pi * math.e)
ROWS = 3000


def drawn(kind, dim, rows=ROWS):
    return torch.from_numpy(kind.rvs(size=(rows, dim), random_state=0))


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("kind", [stats.norm(3, 2), stats.uniform(0, 4), stats.logistic(0, 0.5), stats.laplace(0, 1)])
def test_the_entropy_of_known_densities_is_found_from_neighbours(kind, dim):
    assert neighbour_entropy(drawn(kind, dim)) == pytest.approx(dim * float(kind.entropy()), abs=0.06 * dim)


def test_the_estimate_is_that_of_a_loop_over_codes():
    code, terms = drawn(stats.norm(), 3, 60).numpy(), []
    for row in code:
        radius = sorted(math.dist(row, other) for other in code)[3]
        terms.append(digamma(60) - digamma(3) + math.log(4 / 3 * math.pi) + 3 * math.log(radius))
    assert neighbour_entropy(torch.from_numpy(code)) == pytest.approx(np.mean(terms), rel=1e-9)


def test_scale_adds_its_logarithm_to_either_entropy():
    code = drawn(stats.norm(), 4)
    for entropy in (neighbour_entropy, gaussian_entropy):
        assert entropy(10 * code) - entropy(code) == pytest.approx(4 * math.log(10), rel=1e-6)


def test_the_gaussian_bounds_the_entropy_of_other_densities_from_above():
    mixture = torch.where(torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(0)) < 0.5, -5.0, 5.0)
    code = mixture + drawn(stats.norm(), 2)
    assert neighbour_entropy(code) == pytest.approx(2 * (NORMAL + math.log(2)), abs=0.1)
    assert gaussian_entropy(code) > neighbour_entropy(code) + 1


def test_gaussian_codes_of_gaussian_posteriors_have_the_information_of_a_noisy_channel():
    """m ~ N(0, 3), z = m + N(0, 1): I = 1/2 log(1 + 3) an axis; KL(N(0, 4) || N(0, 1)) = 1/2 (4 - 1 - log 4)."""
    code = drawn(stats.norm(0, 2), 2)
    sums = {"rows": torch.tensor(float(ROWS)), "conditional": torch.tensor(ROWS * 2 * NORMAL)}
    sums["log_prior"] = torch.from_numpy(stats.norm.logpdf(code.numpy())).sum()
    found = information(code, sums)
    for end in ("", "_gaussian"):
        assert found[f"mutual_information{end}"] == pytest.approx(2 * 0.5 * math.log(4), abs=0.1)
        assert found[f"kl_marginal{end}"] == pytest.approx(2 * 0.5 * (3 - math.log(4)), abs=0.25)
    assert set(information(code, {name: sums[name] for name in ("rows", "log_prior")})) == {
        f"{name}{end}" for name in ("entropy", "kl_marginal") for end in ("", "_gaussian")
    }


@pytest.mark.parametrize(
    ("code", "entropy", "said"),
    [
        (torch.zeros(10, 2), neighbour_entropy, "codes of different rows coincide"),
        (torch.arange(20.0)[:, None].expand(20, 2), gaussian_entropy, "fewer dimensions"),
        (torch.randn(3, 2), neighbour_entropy, "3 codes, 4 needed"),
        (torch.randn(3, 3), gaussian_entropy, "3 codes, 4 needed"),
    ],
)
def test_codes_without_a_density_have_no_entropy(code, entropy, said):
    with pytest.raises(Undefined, match=said):
        entropy(code)


def through_a_bottleneck(width, dim, offset=0.0):
    """Codes of `dim` axes, in float32, that a linear layer makes of `width` hidden values."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(ROWS, width, generator=generator)
    return hidden @ torch.randn(width, dim, generator=generator) + offset


@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize(("width", "dim"), [(4, 6), (16, 24), (64, 65)])
def test_the_rounding_of_an_encoder_fills_no_dimension(width, dim, offset):
    code = through_a_bottleneck(width, dim, offset)
    with pytest.raises(Undefined, match="fewer dimensions"):
        gaussian_entropy(code)
    with pytest.raises(Undefined, match="fewer dimensions"):
        gaussian_entropy(torch.cat([code[:, :1], torch.full((ROWS, 1), 0.1)], 1))


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_axes_of_any_scale_have_the_entropy_of_their_covariance(offset):
    """A thin direction, and scales from 1e-8 to 1e4, as an axis of ARD-VAE may have any, are no rounding."""
    code = through_a_bottleneck(8, 6, offset)
    code[:, 1] = code[:, 0] + 0.01 * code[:, 1]
    scale = 10.0 ** torch.tensor([-8.0, -4, 0, 1, 2, 4])
    expected = stats.multivariate_normal(cov=np.cov(code.double().numpy(), rowvar=False)).entropy()
    assert gaussian_entropy(code * scale) == pytest.approx(expected + scale.double().log().sum().item(), rel=1e-5)
