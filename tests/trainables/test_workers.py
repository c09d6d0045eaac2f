"""N workers = 1 worker: the same parameters and the same metrics, for every method and kind of network.

Real gloo processes in float64. 300 rows in batches of 33 divide among neither 2 nor 4 workers; the last batch has 3
rows, fewer than the 4 workers; ARD's D_z has 101 rows. Two epochs are 20 steps.
"""

import pickle
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.support import forks
from tests.support.small_runs import METHODS, a_run
from trainables import sums, train
from trainables.metrics.iwae import iwae
from trainables.networks import batch_norm

SMALL = {"latent_dim": 3}
NETWORKS = {  # those with fewer than six million parameters at 16x16; the others are of the same layers, only wider
    "ard_mnist": {},
    "ard_shapes": {},
    "dd_fashion": {},
    "geco_mnist": {},
    "intel_celeba": {"decoder_form": "code"},
    "intel_mnist": {},
    "locatello": {},
    "mask_aae_mlp": {"hidden": [16]},
    "vimae_mlp": {"hidden": [16, 16]},
    "vsc_conv": {},
}
ON_IMAGES = {f"vae on {name}": ("vae", {"name": name, **of}) for name, of in NETWORKS.items()} | {
    f"{example} with batch norm": (example, {"name": "intel_mnist"})
    for example in ("rae gp", "vamp_vae", "geco_l0_arm_vae", "mask_aae")
}
WEIGHED = ("vae", "geco_l0_arm_vae")  # of which the importance-weighted likelihood is taken, too
EXACT, NAIVE = "intel_vae sparse", "intel_vae sparse, averages of averages"
CASES = [*METHODS, *ON_IMAGES]
WORLDS = (1, 2, 4)
AT_TWO = ("vae", EXACT, "rae gp with batch norm")
"""The cases that `make test` tries with two workers, too: the others are for `make thorough-tests`."""
PAIRS = [
    pytest.param(case, world, marks=() if world == 4 or case in AT_TWO else pytest.mark.thorough)
    for case in CASES
    for world in WORLDS[1:]
]
LONGEST = timedelta(minutes=2)  # for a collective: the other workers of one that crashed end, too
build = train.build


def run_of(case, images):
    if case in ON_IMAGES:
        example, network = ON_IMAGES[case]
        return a_run(
            example,
            network=network | SMALL,
            data={"name": "array", "path": str(images), "val_fraction": 0.2},
            optimizer={"eps": 1e-4},  # Adam magnifies the rounding of a gradient by up to 1/eps
            batch_size=7,
            epochs=4,
        )
    changes = {"optimizer": {"plateau": {"patience": 1}, "clip_norm": 3.0}, "kl_warmup_epochs": 1.3}
    return a_run(EXACT if case == NAIVE else case, batch_size=33, **changes)


def build_without_idle_biases(run, splits):
    """As `train.build`, but a bias before batch norm stays 0: its gradient is rounding, which Adam magnifies."""
    learner = build(run, splits)
    for sequence in learner.modules():
        if isinstance(sequence, nn.Sequential):
            for layer, following in pairwise(sequence):
                if isinstance(following, batch_norm.OverWorkers) and getattr(layer, "bias", None) is not None:
                    layer.bias.requires_grad_(False)
    return learner


def numbers_of(case, images):
    *_, report = train.train(run_of(case, images))
    learner, rows = report.training.learner, report.training.splits.val
    state = {name: value.double().numpy().copy() for name, value in learner.state_dict().items()}
    estimates = {"iwae": iwae(learner, rows, k=3, batch_size=43)} if case in WEIGHED else {}
    return state, report.metrics | estimates


def naive_loss(terms, total):
    """What one writes at first: each worker's own averages, averaged by DDP."""
    return sum(weight * (value.mean() if value.ndim else value) for weight, value in terms.values())


def worker(rank, world, folder, cases):
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    train.build = build_without_idle_biases
    if world > 1:
        dist.init_process_group("gloo", f"file://{folder}/store{world}", LONGEST, world, rank)
    numbers = {case: numbers_of(case, folder / "images.npy") for case in cases}
    if world == 2 and EXACT in cases:  # with more workers the naive mean over no rows is not a number
        train.loss_of = naive_loss
        numbers[NAIVE] = numbers_of(NAIVE, folder / "images.npy")
    if rank == 0:
        (folder / f"{world}.pickle").write_bytes(pickle.dumps(numbers))
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def numbers(tmp_path_factory, request):
    """World size -> case -> (state, metrics), for the cases of the tests that are selected."""
    here = [item for item in request.session.items if item.path == request.path]
    selected = [item.callspec.params for item in here if hasattr(item, "callspec")]
    pairs = {(each.get("world", 2), each["case"]) for each in selected}
    cases = {world: [case for case in CASES if (world, case) in pairs] for world in WORLDS[1:]}
    cases[1] = [case for case in CASES if any(case in asked for asked in cases.values())]
    folder = tmp_path_factory.mktemp("workers")
    images = np.random.default_rng(0).integers(0, 256, (44, 16, 16), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    forks.join(
        forks.started(worker, [(rank, world, folder, cases[world]) for world in WORLDS for rank in range(world)])
    )
    return {world: pickle.loads((folder / f"{world}.pickle").read_bytes()) for world in WORLDS}


def largest_difference(state, reference):
    """The largest relative difference of any tensor, in units of that tensor's largest entry."""
    assert state.keys() == reference.keys()
    return max(np.abs(state[name] - value).max() / (np.abs(value).max() or 1) for name, value in reference.items())


@pytest.mark.parametrize(("case", "world"), PAIRS)
def test_workers_end_with_the_parameters_and_statistics_of_one(numbers, case, world):
    assert largest_difference(numbers[world][case][0], numbers[1][case][0]) < 1e-10


@pytest.mark.parametrize(("case", "world"), PAIRS)
def test_workers_report_the_metrics_of_one(numbers, case, world):
    """To 1e-8: Hoyer's score of three axes magnifies what is 1e-11 in the parameters."""
    assert numbers[world][case][1] == pytest.approx(numbers[1][case][1], rel=1e-8)


@pytest.mark.parametrize("case", [EXACT])
def test_averages_of_averages_are_told_apart(numbers, case):
    """The test above can fail: workers that average their own means end elsewhere."""
    assert largest_difference(numbers[2][NAIVE][0], numbers[1][case][0]) > 1e-4


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
