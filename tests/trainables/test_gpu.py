"""On a GPU a training takes the CPU's steps, repeats bit for bit, and waits for nothing. `make gpu-tests` runs this."""

import numpy as np
import pytest
import torch

from tests.support.checkpoints import assert_same_checkpoints
from tests.support.evaluations import a_model, a_small
from tests.support.small_runs import CONVOLUTIONAL, METHODS, a_run
from trainables.data.base import rows as loaded
from trainables.evaluations.context import EvaluationContext
from trainables.evaluations.evaluate import find
from trainables.terms import loss_of
from trainables.train import Epoch, Training, take_steps, train

if not torch.cuda.is_available():
    pytest.skip("no GPU, or hidden: see `make gpu-tests`", allow_module_level=True)

RTOL = 2e-4  # float32 sums in another order, through a network and back
MATCHES = "vimae"  # its pretraining reads in each step whether the codes match the prior
DETERMINED = ("mse", "rate", "active", "hoyer", "magnitudes", "information", "iwae", "mmd", "parzen")
"""Evaluations that train nothing."""


@pytest.fixture
def on(monkeypatch):
    """Makes a training on the device of this type."""

    def make(run, device):
        with monkeypatch.context() as patch:
            if device == "cpu":
                patch.setattr(torch.cuda, "is_available", lambda: False)
            training = Training(run)
        assert training.device.type == device
        return training

    return make


@pytest.fixture
def image_run(tmp_path):
    """Makes a run of a network on images of noise, 16x16."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (160, 16, 16, 1), np.uint8))
    data = {"name": "array", "path": str(tmp_path / "x.npy"), "val_fraction": 0.2}

    def make(network, **changes):
        return a_run("vae", network={"name": network, "latent_dim": 3}, data=data, **changes)

    return make


def first_step(training):
    """The terms' values and all gradients of the first step, on the CPU."""
    epoch = Epoch(training)
    x_BX, noise, rows = next(epoch.batches())
    terms = training.learner(x_BX, noise, 0.5, epoch.phase().name)
    training.backward(loss_of(terms, rows))
    gradients = {name: of.grad.cpu() for name, of in training.learner.named_parameters() if of.grad is not None}
    return {name: value.detach().cpu() for name, (_, value) in terms.items()}, gradients


def assert_same_steps(ours, theirs):
    """Terms relative to their own largest value, gradients to that of all: some are nothing but rounding."""
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
    for name, value in theirs[0].items():
        torch.testing.assert_close(ours[0][name], value, rtol=RTOL, atol=RTOL * float(value.abs().max()))
    largest = max(float(value.abs().max()) for value in theirs[1].values())
    for name, value in theirs[1].items():
        torch.testing.assert_close(ours[1][name], value, rtol=RTOL, atol=RTOL * largest)


@pytest.mark.parametrize("name", METHODS)
def test_the_first_step_is_that_of_the_cpu(name, on):
    assert_same_steps(*(first_step(on(a_run(name), device)) for device in ("cuda", "cpu")))


@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_every_network_computes_what_it_does_on_the_cpu(network, on, image_run):
    assert_same_steps(*(first_step(on(image_run(network), device)) for device in ("cuda", "cpu")))


@pytest.mark.parametrize("name", METHODS)
def test_validation_gives_the_metrics_of_the_cpu(name, on):
    ours, theirs = (on(a_run(name), device).validate() for device in ("cuda", "cpu"))
    assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4, nan_ok=True)


@pytest.mark.parametrize("metric", DETERMINED)
@pytest.mark.parametrize("method", ["ard_vae", "geco_l0_arm_vae", "vamp_vae", "intel_vae sectors"])
def test_evaluations_find_the_numbers_of_the_cpu(method, metric, on):
    ours, theirs = (find(a_small(metric), EvaluationContext(on(a_model(method), device))) for device in ("cuda", "cpu"))
    assert ours.undefined == theirs.undefined
    assert ours.values == pytest.approx(theirs.values, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_a_training_repeats_bit_for_bit(name):
    one, other = ([report.metrics for report in train(a_run(name))] for _ in range(2))
    assert repr(one) == repr(other)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_a_resumed_training_of_images_ends_as_an_unbroken_one(network, precision, image_run, tmp_path):
    run = image_run(network, precision=precision, epochs=3)
    files = [tmp_path / f"{epoch}.pt" for epoch in range(1, 4)]
    for report, file in zip(train(run), files, strict=True):
        report.save(file)
    *_, last = train(run, resume=files[0])
    last.save(tmp_path / "resumed.pt")
    assert_same_checkpoints(tmp_path / "resumed.pt", files[-1])


def test_rows_that_stay_in_the_computers_memory_give_the_same_numbers(image_run, monkeypatch):
    near = [report.metrics for report in train(image_run("ard_mnist"))]
    monkeypatch.setattr(loaded, "GPU_SHARE", 0)
    training = Training(image_run("ard_mnist"))
    assert training.rows is training.splits.train
    assert repr(near) == repr([report.metrics for report in train(image_run("ard_mnist"))])


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith(MATCHES)])
def test_a_step_waits_for_nothing(name, share, monkeypatch):
    monkeypatch.setattr(loaded, "GPU_SHARE", share)
    training = Training(a_run(name))
    if name.startswith("geco"):  # which asks in each step until its constraint is met
        training.learner.vae.extras.met.fill_(True)
    take_steps(Epoch(training, last_rows=64), training.learner)  # makes the optimizer's state
    epoch = Epoch(training, last_rows=96)
    torch.cuda.set_sync_debug_mode("error")
    try:
        take_steps(epoch, training.learner)
    finally:
        torch.cuda.set_sync_debug_mode("default")
