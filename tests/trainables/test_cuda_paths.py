"""Nothing computes with tensors of two devices: all is tried on fake tensors of a `cuda` device, without a GPU.

Fake tensors have a shape, a type and a device, and refuse to be mixed like real ones. They have no values: what reads
one, as most metrics do, is tried up to there. Gradients would need a CUDA context.
"""

from contextlib import nullcontext, suppress

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv

from tests.support.small_runs import CONVOLUTIONAL, METHODS, a_run
from trainables.data.loading import load_splits
from trainables.metrics import metrics_of
from trainables.metrics.view import batches_of, look
from trainables.noise import Noise
from trainables.terms import loss_of, sums_of
from trainables.train import build

READ = (DataDependentOutputException, GuardOnDataDependentSymNode)  # a value was read
DIFFERENTIATES = {"mask_aae": "critic", "mask_aae turns": "critic"}
"""Method -> its phase in which the objective itself holds a gradient. That of `rae gp` does in validation, too."""
READERS = [name for name in METHODS if name.startswith("geco")]
"""They read a value from the device in each step, until their constraint is met."""
LIKELIHOODS = ({"name": "bernoulli"}, {"name": "laplace", "scale": 0.1}, {"name": "squared_error"})
ROWS = 32
CUDA = torch.device("cuda")


@pytest.fixture
def fake():
    """Tensors that are made here have no values."""
    shapes = ShapeEnv(allow_scalar_outputs=True, allow_dynamic_output_shape_ops=True)
    return FakeTensorMode(allow_non_fake_inputs=True, shape_env=shapes)


def moved(learner: nn.Module) -> nn.Module:
    """The learner with fake parameters and buffers on the device. What it keeps otherwise stays where it is."""
    for module in learner.modules():
        for of in (module._parameters, module._buffers):
            for name, value in of.items():
                if value is not None:
                    there = torch.empty(value.shape, dtype=value.dtype, device=CUDA)
                    of[name] = nn.Parameter(there) if of is module._parameters else there
    return learner


def assert_steps(learner, x_BX, phases) -> None:
    """That a step's loss is computed on the device, in all phases."""
    noise = Noise(0, "train", 0, 0, rows=slice(0, len(x_BX)), total=len(x_BX), device=CUDA)
    for phase in dict.fromkeys(phases):
        terms = learner(x_BX, noise, 0.5, phase.name)
        for part in (*loss_of(terms, len(x_BX)).parts, *zip(terms, sums_of(terms, len(x_BX)).values(), strict=True)):
            assert part[1].device == torch.device("cuda", 0)


def meet_constraint(learner) -> None:
    """Let GECO know that its constraint has been met."""
    multiplier = learner.vae.extras
    multiplier.met.fill_(True)
    assert multiplier.was_met()


@pytest.mark.parametrize("name", [name for name in METHODS if name != "rae gp"])
def test_every_method_computes_its_loss_and_metrics_on_one_device(name, fake):
    run = a_run(name)
    splits = load_splits(run.data, None)
    learner = build(run, splits).train()
    if name in READERS:
        meet_constraint(learner)
    with fake:
        x_BX = splits.train.batch(torch.arange(ROWS)).to(CUDA, torch.float32)
        phases = [phase for phase in run.method.phases if phase.name != DIFFERENTIATES.get(name)]
        assert_steps(moved(learner), x_BX, phases)
        view = look(learner, batches_of(splits.val, ROWS, 0, CUDA))
        for metric in metrics_of(run.method):
            with suppress(READ):
                metric.compute(view)


@pytest.mark.parametrize("name", READERS)
def test_these_methods_alone_read_a_value_in_each_step_and_none_once_their_constraint_is_met(name, fake):
    run = a_run(name)
    for met in (False, True):
        learner = build(run, load_splits(run.data, None)).train()
        if met:
            meet_constraint(learner)
        with fake, nullcontext() if met else pytest.raises(READ):
            assert_steps(moved(learner), torch.empty(ROWS, 1, 8, 8, device=CUDA), run.method.phases)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda likelihood: likelihood["name"])
@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_every_network_and_likelihood_computes_on_one_device(network, likelihood, fake, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 16, 16, 1), np.uint8))
    data = {"name": "array", "path": str(tmp_path / "x.npy"), "val_fraction": 0.2}
    sizes = {"name": network, "latent_dim": 3}
    run = a_run("vae", network=sizes, data=data, likelihood=likelihood, batch_size=8)
    learner = build(run, load_splits(run.data, None)).train()
    with fake:
        assert_steps(moved(learner), torch.empty(8, 1, 16, 16, device=CUDA), run.method.phases)


def test_a_buffer_that_stays_behind_is_found(fake):
    learner = build(run := a_run("vae"), load_splits(a_run("vae").data, None)).train()
    with fake:
        moved(learner).vae.mapping = Behind()
        with pytest.raises(RuntimeError, match="device"):
            assert_steps(learner, torch.empty(ROWS, 1, 8, 8, device=CUDA), run.method.phases)


class Behind(nn.Module):
    """A mapping with a tensor that does not move with its module."""

    def forward(self, z_BL):
        return z_BL * torch.ones(6)
