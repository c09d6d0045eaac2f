"""Sums over rows and workers. The only file that calls torch.distributed collectives.

Statistics are sums, never averages, so that several workers reduce to exactly what one worker computes.
"""

# Shapes: B rows of this worker's share of a batch, D anything.

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Sums = dict[str, Tensor]
"""Name -> a sum over rows, additive over batches and over workers."""


def rank_and_world() -> tuple[int, int]:
    """This worker's rank and the number of workers; (0, 1) without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def share(total: int) -> slice:
    """This worker's rows of `total`: contiguous shares whose sizes differ by at most one."""
    rank, world = rank_and_world()
    return slice(total * rank // world, total * (rank + 1) // world)


def add(parts: Iterable[Sums]) -> Sums:
    """The sum of several Sums, in float64; empty when there are none."""
    total: Sums = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value.double() if name in total else value.double()
    return total


def all_reduce(sums: Sums) -> Sums:
    """The Sums of all workers added up, in float64 and in one collective.

    Every worker must hold the same names and shapes.
    """
    flat = torch.cat([value.detach().double().reshape(-1) for value in sums.values()])
    if dist.is_initialized():
        dist.all_reduce(flat)
    pieces = flat.split([value.numel() for value in sums.values()])
    return {name: piece.reshape(value.shape) for (name, value), piece in zip(sums.items(), pieces, strict=True)}


def from_all(value: Any) -> list[Any]:
    """Every worker's `value`, in rank order. It must be picklable."""
    values = [value] * rank_and_world()[1]
    if dist.is_initialized():
        dist.all_gather_object(values, value)
    return values


def gather(x_BD: Tensor) -> Tensor:
    """All workers' rows in rank order, for terms that are not a mean over rows.

    The backward pass adds the gradients of all copies. Every worker computes the same whole-batch term, and
    DistributedDataParallel averages over workers, so the parameters get the gradient that one worker would compute.
    """
    return _Gather.apply(x_BD) if dist.is_initialized() else x_BD


def over_workers(x: Tensor) -> Tensor:
    """The sum of all workers' `x`, with gradient: for statistics of the whole batch that every worker uses."""
    return _OverWorkers.apply(x) if dist.is_initialized() else x


class _OverWorkers(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return _OverWorkers.apply(grad)  # differentiable itself, which a penalty on gradients needs


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x_BD: Tensor) -> Tensor:
        rank, world = rank_and_world()
        counts = torch.zeros(world, dtype=torch.int64, device=x_BD.device)
        counts[rank] = len(x_BD)
        dist.all_reduce(counts)
        first = int(counts[:rank].sum())
        ctx.rows = slice(first, first + len(x_BD))
        whole = x_BD.new_zeros(int(counts.sum()), *x_BD.shape[1:])
        whole[ctx.rows] = x_BD
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return _OverWorkers.apply(grad)[ctx.rows]


def _summed(x: Tensor) -> Tensor:
    total = x.contiguous().clone()
    dist.all_reduce(total)
    return total
