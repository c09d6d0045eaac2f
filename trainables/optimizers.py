"""torch's optimizers without their marks for torch.compile. No optimizer is compiled here, and for these marks torch
imports torch._dynamo: half a second in every process that trains, and some microseconds of each step."""

from __future__ import annotations

import inspect
from functools import cache

from trainables.common.lazy import torch


@cache
def not_compiled(optimizer: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same optimizer, with its methods as they are beneath torch's decorators."""
    marked = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in marked}
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {**methods, "step": step})
