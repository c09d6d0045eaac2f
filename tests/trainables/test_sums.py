"""Sums over workers, with real gloo processes."""

import pytest
import torch
import torch.distributed as dist

from tests.support import forks
from trainables.sums import add, all_reduce, from_all, gather, share

X = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def whole_batch_loss(x):
    """Not linear in the rows: the square of the mean."""
    return x.mean(0).square().sum()


def reference_gradient():
    x = X.clone().requires_grad_()
    whole_batch_loss(x).backward()
    return x.grad


def _worker(rank, world, port_file, queue):
    dist.init_process_group("gloo", init_method=f"file://{port_file}", rank=rank, world_size=world)
    mine = X[share(len(X))].clone().requires_grad_()
    total = all_reduce({"rows": torch.tensor(float(len(mine))), "sum": mine.detach().sum(0)})
    loss = whole_batch_loss(gather(mine))
    loss.backward()
    told = from_all({"i": rank})
    queue.put((rank, total["rows"].item(), total["sum"].tolist(), loss.item(), (mine.grad / world).tolist(), told))
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_sums_and_whole_batch_gradients_on_workers_equal_one_worker(world, tmp_path):
    queue = forks.context().SimpleQueue()
    workers = forks.started(_worker, [(rank, world, tmp_path / "store", queue) for rank in range(world)])
    answers = sorted(queue.get() for _ in workers)
    forks.join(workers)
    gradients = torch.cat([torch.tensor(answer[4], dtype=torch.float64).reshape(-1, 3) for answer in answers])
    torch.testing.assert_close(gradients, reference_gradient(), rtol=1e-12, atol=0)
    for _, rows, total, loss, _, told in answers:
        assert rows == 7
        torch.testing.assert_close(torch.tensor(total, dtype=torch.float64), X.sum(0), rtol=1e-12, atol=1e-14)
        assert loss == pytest.approx(whole_batch_loss(X).item(), rel=1e-12)
        assert told == [{"i": i} for i in range(world)]


def test_shares_cover_every_row_once(monkeypatch):
    for total in (0, 1, 5, 7, 100):
        for world in (1, 2, 3, 4):
            rows = []
            for rank in range(world):
                monkeypatch.setattr("trainables.sums.rank_and_world", lambda rank=rank, world=world: (rank, world))
                rows += range(total)[share(total)]
            assert rows == list(range(total))


def test_add_sums_in_float64():
    parts = [{"n": torch.tensor(1e8, dtype=torch.float32)}, {"n": torch.tensor(1.0, dtype=torch.float32)}]
    assert add(parts)["n"].item() == 100_000_001.0
    assert add([]) == {}


def test_one_worker_needs_no_process_group():
    assert all_reduce({"a": torch.ones(2), "b": torch.tensor(3.0)})["b"].item() == 3.0
    assert gather(X) is X
    assert from_all("a") == ["a"]
