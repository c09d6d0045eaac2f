"""Precision of the networks' arithmetic. Weights, latents, losses and statistics stay in float32 or better."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from trainables.common.lazy import torch

Precision = Literal["fp32", "tf32", "bf16"]
"""fp32: full float32. tf32: matrix products of 10-bit mantissas, on GPUs that have them. bf16: autocast to bfloat16."""


def set_cuda_arithmetic(precision: Precision) -> None:
    """Set how CUDA computes in this process: TF32 only where asked for, and convolutions that repeat bit for bit.

    By default cuDNN rounds convolutions to TF32, and adds up gradients in an order that changes from run to run.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager:
    """The context in which the networks run."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
