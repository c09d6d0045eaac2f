"""Metrics of two real gloo workers are those of one: sums over all rows, however unevenly these are shared."""

import pickle

import pytest
import torch
import torch.distributed as dist

from tests.support import forks
from tests.support.small_runs import a_run
from trainables.data.loading import load_splits
from trainables.metrics import frechet, ones_classifier, rate, reconstruction
from trainables.metrics.nearest import nearest
from trainables.metrics.parzen import parzen, widths_for
from trainables.noise import Noise
from trainables.relevance import Relevance
from trainables.sums import all_reduce, share
from trainables.train import build

ROWS = 7


def numbers():
    run = a_run("sylvester_vae")  # its rate is sampled: the noise is the rows' own
    splits = load_splits(run.data)
    vae, x_NX = build(run, splits).vae.double(), splits.val.batch(torch.arange(3 * ROWS)).double()
    generated, val, test = x_NX.split(ROWS)
    mine = share(ROWS)
    noise = Noise(0, rows=mine, total=ROWS)
    found = Relevance(torch.tensor([1.0, 0, 1, 0, 0, 1]), torch.zeros(6), torch.ones(6))
    sums = [all_reduce(frechet.statistics(x[mine].flatten(1)[:, 18:22])) for x in (generated, test)]
    logistic = ones_classifier.Logistic(torch.linspace(-1, 1, 64).double(), 0.0, (0.0, 1.0))
    return {
        "frechet": frechet.distance(*sums),
        **ones_classifier.finish(all_reduce(ones_classifier.statistics(logistic, test[mine]))),
        **rate.finish(all_reduce(rate.statistics(vae, test[mine], noise, draws=3))),
        **reconstruction.finish(all_reduce(reconstruction.statistics(vae, test[mine], noise, found))),
        **parzen(generated[mine], val[mine], test[mine]).numbers,
        "width": widths_for(val[mine])[0],
        **nearest(generated[mine], test[mine]),
    }


def worker(rank, folder):
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    found = numbers()
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def test_two_workers_have_the_numbers_of_one(tmp_path):
    torch.set_default_dtype(torch.float64)
    try:
        alone = numbers()
    finally:
        torch.set_default_dtype(torch.float32)
    forks.join(forks.started(worker, [(rank, tmp_path) for rank in range(2)]))
    for rank in range(2):
        assert pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()) == pytest.approx(alone, rel=1e-9)
