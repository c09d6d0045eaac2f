"""Copies tensors to a GPU without waiting for it."""

from __future__ import annotations

from trainables.common.lazy import torch

PAGEABLE_BYTES = 64 << 10  # CUDA copies as much to a buffer of its own; for more, it waits until the GPU is idle


def moved(value: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """The tensor on `device`. Much of it goes to a GPU by way of pinned memory, so that no one waits for the copy."""
    to_gpu = value.device.type == "cpu" and torch.device(device).type == "cuda"
    if to_gpu and value.nbytes > PAGEABLE_BYTES and torch.cuda.is_available():
        value = value.pin_memory()
    return value.to(device, non_blocking=to_gpu)
