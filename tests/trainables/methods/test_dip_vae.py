"""DIP-VAE: the covariances against numpy, and both forms' losses by hand."""

import numpy as np
import pytest
import torch

from tests.support.small_runs import a_run
from trainables.methods.dip_vae import DIPVAE, FORMS
from trainables.train import Training

G = torch.Generator().manual_seed(0)
MEAN, VARIANCE = (
    torch.randn(40, 5, generator=G, dtype=torch.float64),
    torch.rand(40, 5, generator=G, dtype=torch.float64),
)


def covariances():
    """By numpy, of the means and of the codes."""
    of_means = np.cov(MEAN.numpy(), rowvar=False, ddof=0)
    return {"I": of_means, "II": of_means + np.diag(VARIANCE.numpy().mean(0))}


@pytest.mark.parametrize("form", ["I", "II"])
def test_covariance_is_numpys(form):
    np.testing.assert_allclose(FORMS[form](MEAN, VARIANCE).numpy(), covariances()[form], rtol=1e-12, atol=1e-14)


def test_covariance_of_the_codes_is_that_of_samples():
    g = torch.Generator().manual_seed(1)
    samples = MEAN + VARIANCE.sqrt() * torch.randn(20_000, 40, 5, generator=g, dtype=torch.float64)
    found = np.cov(samples.flatten(0, 1).numpy(), rowvar=False, ddof=0)
    np.testing.assert_allclose(found, covariances()["II"], atol=0.01)


@pytest.mark.parametrize(("form", "lambda_d"), [("I", 100.0), ("II", 10.0)])
def test_terms_are_the_papers_by_hand(form, lambda_d):
    training = Training(a_run(method={"name": "dip_vae", "form": form}))
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    terms = training.learner(x, noise)
    q = training.learner.vae.encode(x)
    c = np.cov(q.mean_BD.detach().double().numpy(), rowvar=False, ddof=0)
    c = c + np.diag(q.log_variance_BD.detach().double().exp().numpy().mean(0)) * (form == "II")
    off = sum(c[i, j] ** 2 for i in range(6) for j in range(6) if i != j)
    diagonal = sum((c[i, i] - 1) ** 2 for i in range(6))
    assert terms["off_diagonal"][0] == 10.0 and terms["diagonal"][0] == lambda_d
    assert terms["off_diagonal"][1].item() == pytest.approx(off, rel=1e-4)
    assert terms["diagonal"][1].item() == pytest.approx(diagonal, rel=1e-4)
    assert terms["nll"][0] == terms["kl"][0] == 1.0


def test_weights_can_be_given():
    assert DIPVAE(form="II", lambda_od=3.0, lambda_d=0.0)._lambda_d() == 0.0
    assert DIPVAE(lambda_od=3.0)._lambda_d() == 30.0
