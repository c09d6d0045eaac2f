"""The module of the hierarchical mapping: a chain of groups of dimensions."""

# Shapes: B rows of a batch, D latent dimensions.

from itertools import pairwise

import torch
from torch import Tensor, nn

from trainables.networks.blocks import glorot_uniform


class Hierarchy(nn.Module):
    """(B, D) -> (B, D): z_0 = y_0 and z_i = ReLU(W_i [z_(i-1), y_i] + b_i), a linear layer per group but the first."""

    def __init__(self, groups: tuple[int, ...]):
        super().__init__()
        self.groups = groups
        self.layers = nn.ModuleList(glorot_uniform(nn.Linear(above + own, own)) for above, own in pairwise(groups))

    def forward(self, y_BD: Tensor) -> Tensor:
        top, *lower = y_BD.split(self.groups, 1)
        z = [top]
        for layer, y in zip(self.layers, lower, strict=True):
            z.append(layer(torch.cat((z[-1], y), 1)).relu())
        return torch.cat(z, 1)
