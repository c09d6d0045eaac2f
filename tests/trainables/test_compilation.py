"""A run whose networks are compiled trains the same numbers up to rounding; all but its steps are not compiled."""

import pytest
import torch

from tests.support.checkpoints import assert_same_checkpoints
from tests.support.small_runs import METHODS, a_run
from trainables.data.loading import load_splits
from trainables.train import Epoch, Training, take_steps, train

TWICE = [name for name in METHODS if a_run(name).method.differentiates_twice()]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TWICE])
def test_a_compiled_step_is_the_same_up_to_rounding(name):
    once = {"epochs": 1, "batch_size": 300}  # one step: rounding grows in many
    (*_, plain), (*_, compiled) = (train(a_run(name, compile=compile, **once)) for compile in (False, True))
    assert compiled.metrics == pytest.approx(plain.metrics, rel=1e-4, abs=1e-6, nan_ok=True)
    assert compiled.training.state()["learner"].keys() == plain.training.state()["learner"].keys()


def test_a_method_that_differentiates_its_network_is_refused():
    assert TWICE == ["rae gp"]
    run = a_run("rae gp", compile=True)
    facts = load_splits(run.data).facts()
    assert [field for field, _ in run.mistakes(facts)] == ["compile"]


def test_a_compiled_run_is_resumed_bit_for_bit(tmp_path):
    run = a_run("ard_vae", compile=True, epochs=3)
    files = [tmp_path / f"{epoch}.pt" for epoch in range(1, 4)]
    for report, file in zip(train(run), files, strict=True):
        report.save(file)
    *_, last = train(run, resume=files[0])
    last.save(tmp_path / "resumed.pt")
    assert_same_checkpoints(tmp_path / "resumed.pt", files[-1])


def test_the_networks_are_compiled_in_steps_alone():
    training, seen = Training(a_run(compile=True)), []
    decoder = training.learner.vae.decoder
    take_steps(Epoch(training), training.learner, lambda *_: seen.append("forward" in vars(decoder)))
    seen.append("forward" in vars(decoder))
    assert seen == [False, *[True] * 10, False]


def test_another_shape_of_batch_in_a_later_epoch_is_told():
    training = Training(a_run(compile=True))
    decoder, z_BL = training.learner.vae.decoder, torch.zeros(7, 6, device=training.device)
    for _ in range(2):
        with training.networks:
            decoder(z_BL[:5])
    with pytest.warns(UserWarning, match="1 more"), training.networks:
        decoder(z_BL)
