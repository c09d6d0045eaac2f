"""What a pass takes, that metrics made of derivatives stay within their bound, that nothing waits for Python's garbage
collection, and that training imports nothing that it does not use."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from tests.support.small_runs import METHODS, a_run
from trainables.footprint import bytes_of
from trainables.metrics import rate
from trainables.relevance import JACOBIAN_BYTES
from trainables.stacked.stack import Stack
from trainables.train import Training, train

WIDE = """
import resource, sys
import torch
from torch import nn
from types import SimpleNamespace
from trainables import relevance
from trainables.metrics import rate
from trainables.distributions.posteriors import Point

wide = nn.Sequential(nn.Conv2d(4, 512, 1), nn.ReLU(), nn.Conv2d(512, 4, 1))  # 4 MiB of activations a row
vae = SimpleNamespace(
    shape=(4, 32, 32),
    decode=lambda z, precision=None: SimpleNamespace(mean_BX=wide(z[:, :4, None, None].expand(-1, 4, 32, 32))),
    encode=lambda x: Point(wide(x).mean((2, 3))[:, :2]),
)

def kilobytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

x = torch.ones(120, 4, 32, 32)
with torch.no_grad():
    vae.encode(x)
before = kilobytes()
if sys.argv[1] == "relevance":
    relevance.sensitivity(vae, torch.ones(20, 8))
else:
    rate.linearised(vae, x)
print(kilobytes() - before)
"""


@pytest.mark.parametrize(("what", "allowed"), [("relevance", JACOBIAN_BYTES), ("rate", rate.JACOBIAN_BYTES)])
def test_derivatives_of_a_wide_network_take_no_more_memory_than_allowed(what, allowed):
    """Beyond what the codes of 120 rows took, which every metric needs."""
    done = subprocess.run([sys.executable, "-c", WIDE, what], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) << 10 < allowed


def test_every_tensor_that_is_made_counts_and_views_do_not():
    a = torch.ones(10, 10)

    def work():
        made = (a @ a).relu().double()
        made.view(100).add_(1.0)

    assert bytes_of(work) == 100 * (4 + 4 + 8)
    assert bytes_of(lambda: (a.T, a[:5], a)) == 0


TRAINING = """
import sys
from tests.support.small_runs import METHODS, a_run
from trainables.stacked.comparison import compare
from trainables.train import Training, train

for name in METHODS:
    if not name.startswith(("rae gp", "mask_aae")):  # whose losses have a gradient, by torch.func.grad
        assert list(train(a_run(name, epochs=1)))
runs = [a_run("vae", seed=seed) for seed in range(2)]
compare(runs, Training(runs[0]).splits)
print("torch._dynamo" in sys.modules)
"""


def test_training_does_not_import_the_compiler():
    """Which takes half a second; torch does so for an optimizer, for watching operations and in forward mode."""
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@contextmanager
def garbage() -> Iterator[list]:
    """The objects in cycles that are made and dropped inside this context; complete at its end."""
    found = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
    finally:
        gc.collect()
        gc.set_debug(0)
        gc.enable()
        found += gc.garbage
        gc.garbage.clear()


def tensors_left(work: Callable[[], object]) -> int:
    """How many tensors only Python's garbage collection would free after `work`."""
    with garbage() as found:
        work()
    return sum(isinstance(one, torch.Tensor) for one in found)


@pytest.mark.parametrize("name", METHODS)
def test_an_epoch_leaves_no_tensor_to_the_garbage_collection(name):
    """So the processes that train may collect rarely. The second epoch: libraries make cycles when they are loaded."""
    reports = train(a_run(name))
    next(reports)
    assert tensors_left(lambda: next(reports)) == 0


def test_nor_does_an_epoch_of_a_stack():
    stack = Stack([Training(a_run("ard_vae", seed=seed)) for seed in range(3)], validates=True)
    stack.train_epoch()
    assert tensors_left(stack.train_epoch) == 0


def test_a_tensor_in_a_cycle_is_found():
    def work():
        cycle = [torch.ones(3)]
        cycle.append(cycle)

    assert tensors_left(work) == 1
