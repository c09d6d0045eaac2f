"""Precision of the networks' arithmetic. Weights, latents, losses and statistics stay in float32 or better."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from trainables.common.lazy import torch

Precision = Literal["fp32", "tf32", "bf16"]
"""fp32: full float32. tf32: matrix products of 10-bit mantissas, on GPUs that have them. bf16: autocast to bfloat16."""


def set_matrix_products(precision: Precision) -> None:
    """Allow or forbid TF32 in this process's matrix products and convolutions on CUDA; cuDNN allows it by default."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager:
    """The context in which the networks run."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
