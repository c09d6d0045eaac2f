"""The contract of every method, over the tables: a new method needs one entry in tests/support/small_runs.py."""

import numpy as np
import pytest
import torch

from tests.support.small_runs import METHODS as EXAMPLES
from tests.support.small_runs import a_run
from trainables.common.records import name_of, summary
from trainables.distributions.posteriors import Gaussian
from trainables.mappings import MAPPINGS
from trainables.methods import METHODS
from trainables.noise import Noise
from trainables.run import Run
from trainables.terms import loss_of
from trainables.train import Training, train


def terms_of(run, training=None, phase=None):
    """A fresh training or the given one, its terms on the first batch in this phase (default: the main one), rows."""
    training = training or Training(run)
    x, noise, rows = next(training.batches(torch.arange(64), "train"))
    return training, training.learner(x, noise, phase=phase or run.method.phases[0].name), rows


def test_every_method_and_mapping_has_an_example():
    assert {name_of(method) for method in METHODS} == {example["name"] for example in EXAMPLES.values()}
    mappings = {example["mapping"]["name"] for example in EXAMPLES.values() if "mapping" in example}
    assert {name_of(mapping) for mapping in MAPPINGS} == mappings


@pytest.mark.parametrize("record", [*METHODS, *MAPPINGS], ids=name_of)
def test_every_record_says_what_it_is_and_where_it_comes_from(record):
    assert summary(record).endswith(".")
    assert record.source


@pytest.mark.parametrize("example", EXAMPLES)
def test_terms_are_per_row_or_of_the_whole_batch_and_finite(example):
    run = a_run(example)
    for phase in dict.fromkeys(run.method.phases):
        _, terms, rows = terms_of(run, phase=phase.name)
        for weight, value in terms.values():
            assert isinstance(weight, float) or (weight.shape, weight.dtype) == ((), torch.float64)
            assert not isinstance(weight, torch.Tensor) or not weight.requires_grad
            assert value.shape in {(rows,), ()}
            assert value.isfinite().all()


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_parameter_gets_a_finite_gradient_in_each_phase_that_moves_it_and_there_is_one(example):
    run, training = a_run(example), Training(a_run(example))
    left = dict(training.learner.vae.named_parameters())
    for phase in dict.fromkeys(run.method.phases):
        _, terms, rows = terms_of(run, training, phase.name)
        training.learner.zero_grad(set_to_none=True)
        loss_of(terms, rows).backward()
        for name, parameter in training.learner.vae.named_parameters():
            if name.startswith(phase.parts):
                assert parameter.grad is not None, (phase.name, name)
                assert parameter.grad.isfinite().all(), (phase.name, name)
                left.pop(name, None)
    assert not left


@pytest.mark.parametrize("example", EXAMPLES)
def test_config_survives_json_and_the_loss_falls(example):
    run = a_run(example, epochs=6, optimizer={"lr": 0.01})
    assert Run.model_validate_json(run.model_dump_json()) == run
    losses = [report.metrics["val/nll"] for report in train(run)]
    assert min(losses[2:]) < losses[0]


@pytest.mark.parametrize("example", EXAMPLES)
def test_resume_is_exact(example, tmp_path):
    run = a_run(example)
    reports = train(run)
    next(reports).save(tmp_path / "checkpoint.pt")
    assert next(train(run, resume=tmp_path / "checkpoint.pt")).metrics == next(reports).metrics


def test_intel_vae_with_the_identity_is_the_vae():
    *_, vae = train(a_run("vae"))
    *_, intel = train(a_run("intel_vae identity"))
    assert intel.metrics == vae.metrics


def test_beta_vae_with_beta_one_is_the_vae():
    *_, vae = train(a_run("vae"))
    *_, beta = train(a_run(method={"name": "beta_vae", "beta": 1.0}))
    assert beta.metrics == vae.metrics


def test_the_kl_stays_on_the_latent_before_the_mapping():
    training, terms, _ = terms_of(a_run("intel_vae sectors"))
    x, noise, _ = next(training.batches(torch.arange(64), "train"))
    q = training.learner.vae.encode(x)
    by_hand = 0.5 * (q.mean_BD**2 + q.log_variance_BD.exp() - q.log_variance_BD - 1).sum(1)
    torch.testing.assert_close(terms["kl"][1], by_hand)
    seen = training.learner.vae(x, noise)
    assert (seen.z_BL == training.learner.vae.mapping(seen.y_BD)).all()
    assert not torch.equal(seen.z_BL, seen.y_BD)


def test_ard_held_out_rows_default_to_the_papers_size():
    method = a_run(method={"name": "ard_vae"}).method
    assert method.held_out(50_000).rows == 10_000
    assert method.held_out(40_000).rows == 10_000
    assert method.held_out(1_000).rows == 250


def test_ard_finds_the_intrinsic_dimension_of_linear_data(tmp_path):
    """Data of three independent directions in twelve dimensions, eight latent axes to spend."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(12, 3)))[0]
    x = rng.normal(size=(4000, 3)) @ (directions * [3.0, 2.5, 2.0]).T + 0.02 * rng.normal(size=(4000, 12))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    run = a_run(
        method={"name": "ard_vae", "beta": 0.2, "dz_size": 1000},
        network={"name": "mlp", "hidden": [64], "latent_dim": 8},
        data={"name": "array", "path": str(tmp_path / "x.npy")},
        batch_size=100,
        epochs=30,
        optimizer={"lr": 3e-3},
    )
    *_, report = train(run)
    assert report.metrics["val/active"] == 3
    assert report.metrics["val/mse"] < 0.05


def test_posterior_sampling_uses_the_noise_of_its_rows():
    q = Gaussian(torch.zeros(3, 2), torch.zeros(3, 2))
    assert torch.equal(
        q.draw(Noise(1, rows=slice(4, 7), total=9)).y_BD, Noise(1, rows=slice(4, 7), total=9).normal("posterior", 2)
    )
