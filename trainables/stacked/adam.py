"""The steps of several fused Adams, without what `Optimizer.step` costs besides: many times the arithmetic here."""

# Shapes: K models.

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

MOMENTS = {"exp_avg": "exp_avgs", "exp_avg_sq": "exp_avg_sqs", "max_exp_avg_sq": "max_exp_avg_sqs"}
"""Name in the state of a parameter -> what PyTorch's operation calls the list of them."""


class AdamSteps:
    """Steps of K fused Adams, from where their states are. `close` before these are used or saved.

    Args:
        parameters: of each model, those that have gradients. Their data must stay where it is.
    """

    def __init__(self, optimizers: Sequence[Adam], parameters: Sequence[Sequence[nn.Parameter]]):
        pairs = zip(optimizers, parameters, strict=True)
        self.states = [[optimizer.state[one] for one in own] for optimizer, own in pairs]
        self.counts_K = torch.stack([states[0]["step"] for states in self.states])
        self.known: list[dict[str, Any]] = [
            {"self": [one.data for one in own], "state_steps": [count] * len(own)} | _moments(states) | _settings(of)
            for of, own, states, count in zip(optimizers, parameters, self.states, self.counts_K, strict=True)
        ]

    def begin(self) -> None:
        """Count a step of all."""
        self.counts_K += 1

    def step(self, model: int, gradients: list[Tensor]) -> None:
        """Take a step of one model's optimizer."""
        torch._fused_adam_(grads=gradients, **self.known[model])

    def close(self) -> None:
        """Write the counts of steps into the optimizers' states."""
        for states, count in zip(self.states, self.counts_K, strict=True):
            for state in states:
                state["step"].copy_(count)


def are_fused_adams(optimizers: Sequence[Optimizer], parameters: Sequence[Sequence[nn.Parameter]]) -> bool:
    """Whether `AdamSteps` can take their steps: each has taken one before, and as many for all its parameters."""
    return all(
        isinstance(optimizer, Adam)
        and optimizer.param_groups[0]["fused"]
        and len({_count(optimizer.state.get(one)) for one in own}) == 1
        and own[0] in optimizer.state
        for optimizer, own in zip(optimizers, parameters, strict=True)
    )


def _count(state: dict[str, Tensor] | None) -> float | None:
    return state and float(state["step"])


def _moments(states: Iterable[dict[str, Tensor]]) -> dict[str, list[Tensor]]:
    return {listed: [state[name] for state in states if name in state] for name, listed in MOMENTS.items()}


def _settings(optimizer: Adam) -> dict[str, Any]:
    group = optimizer.param_groups[0]
    beta1, beta2 = group["betas"]
    same = {name: group[name] for name in ("lr", "weight_decay", "eps", "amsgrad", "maximize")}
    return same | {"beta1": beta1, "beta2": beta2, "grad_scale": None, "found_inf": None}
