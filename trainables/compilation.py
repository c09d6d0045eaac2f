"""Compiles a model's networks with torch.compile, for its training steps alone."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch._dynamo.utils import counters


class Compiled:
    """A context in which these networks' forward passes, and so their gradients, are compiled.

    Outside of it they are as they were: validation and evaluations differentiate them in ways that torch cannot
    compile. On a GPU each pass is launched at once, as a CUDA graph. torch compiles a network anew for every shape of a
    batch; leaving the context warns where it has done so in another epoch than the first.
    """

    def __init__(self, networks: Sequence[nn.Module], device: torch.device):
        torch.compiler.reset()  # torch stops compiling after some graphs, those of earlier trainings included
        mode = "reduce-overhead" if device.type == "cuda" else None
        self.forward = {network: torch.compile(network.forward, dynamic=False, mode=mode) for network in networks}
        self.graphs: int | None = None  # that torch had compiled in this process after the last epoch

    def __enter__(self) -> None:
        for network, forward in self.forward.items():
            network.forward = forward

    def __exit__(self, *_) -> None:
        for network in self.forward:
            del network.forward
        before, self.graphs = self.graphs, counters["stats"]["unique_graphs"]
        if before is not None and self.graphs > before:
            warnings.warn(
                f"torch has compiled for {self.graphs - before} more shapes of batch: this took time", stacklevel=3
            )
