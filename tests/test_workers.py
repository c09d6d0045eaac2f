"""N workers = 1 worker: the same parameters and the same metrics, for every method and kind of network.

Real gloo processes in float64. 300 rows in batches of 33 divide among neither 2 nor 4 workers; the last batch has 3
rows, fewer than the 4 workers; ARD's D_z has 101 rows. Two epochs are 20 steps.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from tests.runs import METHODS, a_run
from trainables import sums, train
from trainables.networks import batch_norm

CONVOLUTIONS = "beta_vae, convolutions with batch norm"
NAIVE = "intel_vae sparse, averages of averages"
CASES = [*METHODS, CONVOLUTIONS]
WORLDS = (1, 2, 4)
build = train.build


def run_of(case, images):
    if case == CONVOLUTIONS:
        return a_run(
            "beta_vae",
            network={"name": "ard_mnist", "latent_dim": 3},
            data={"name": "array", "path": str(images), "val_fraction": 0.2},
            batch_size=7,
            epochs=4,
        )
    changes = {"optimizer": {"plateau": {"patience": 1}, "clip_norm": 3.0}, "kl_warmup_epochs": 1.3}
    return a_run("intel_vae sparse" if case == NAIVE else case, batch_size=33, **changes)


def build_without_idle_biases(run, splits):
    """As `train.build`, but a bias before batch norm stays 0: its gradient is rounding, which Adam magnifies."""
    learner = build(run, splits)
    for sequence in learner.modules():
        if isinstance(sequence, nn.Sequential):
            for layer, following in pairwise(sequence):
                if isinstance(following, batch_norm.BatchNorm2d):
                    layer.bias.requires_grad_(False)
    return learner


def numbers_of(case, images):
    *_, report = train.train(run_of(case, images))
    state = report.training.learner.state_dict()
    return {name: value.double().numpy().copy() for name, value in state.items()}, report.metrics


def naive_loss(terms, sums, total):
    """What one writes at first: each worker's own averages, averaged by DDP."""
    return sum(weight * (value.mean() if value.ndim else value) for weight, value in terms.values())


def worker(rank, world, folder, queue):
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train.build = build_without_idle_biases
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    numbers = {case: numbers_of(case, folder / "images.npy") for case in CASES}
    if world == 2:  # with more workers the naive mean over no rows is not a number
        train.loss_of = naive_loss
        numbers[NAIVE] = numbers_of(NAIVE, folder / "images.npy")
    if rank == 0:
        queue.put(numbers)
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """World size -> case -> (state, metrics)."""
    folder = tmp_path_factory.mktemp("workers")
    images = np.random.default_rng(0).integers(0, 256, (44, 32, 32), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    context = mp.get_context("spawn")
    queues = {world: context.SimpleQueue() for world in WORLDS}
    processes = [
        context.Process(target=worker, args=(rank, world, folder, queues[world]))
        for world in WORLDS
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    found = {world: queue.get() for world, queue in queues.items()}
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    return found


def largest_difference(state, reference):
    """The largest relative difference of any tensor, in units of that tensor's largest entry."""
    assert state.keys() == reference.keys()
    return max(np.abs(state[name] - value).max() / (np.abs(value).max() or 1) for name, value in reference.items())


@pytest.mark.parametrize("world", WORLDS[1:])
@pytest.mark.parametrize("case", CASES)
def test_workers_end_with_the_parameters_and_statistics_of_one(numbers, case, world):
    assert largest_difference(numbers[world][case][0], numbers[1][case][0]) < 1e-10


@pytest.mark.parametrize("world", WORLDS[1:])
@pytest.mark.parametrize("case", CASES)
def test_workers_report_the_metrics_of_one(numbers, case, world):
    """To 1e-8: Hoyer's score of three axes magnifies what is 1e-11 in the parameters."""
    assert numbers[world][case][1] == pytest.approx(numbers[1][case][1], rel=1e-8)


def test_averages_of_averages_are_told_apart(numbers):
    """The test above can fail: workers that average their own means end elsewhere."""
    assert largest_difference(numbers[2][NAIVE][0], numbers[1]["intel_vae sparse"][0]) > 1e-4


def test_batch_norm_in_one_process_is_torchs(monkeypatch):
    """The formula of many workers, tried on one: output, gradient and running statistics."""
    monkeypatch.setattr(batch_norm, "rank_and_world", lambda: (0, 2))
    torch.manual_seed(0)
    ours, theirs = batch_norm.BatchNorm2d(3, momentum=0.3).double(), torch.nn.BatchNorm2d(3, momentum=0.3).double()
    weight = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    for layer in (ours, theirs):
        layer.weight.data, layer.bias.data = torch.arange(1.0, 4).double(), torch.arange(3.0).double()
    x = (torch.randn(5, 3, 4, 4, dtype=torch.float64) * 3 + 100).requires_grad_()
    gradients = [torch.autograd.grad((layer(x) * weight).sum(), x)[0] for layer in (ours, theirs)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-7, atol=1e-9)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-12, atol=1e-12)


def test_over_workers_is_the_identity_for_one_worker():
    x = torch.ones(2)
    assert sums.over_workers(x) is x
