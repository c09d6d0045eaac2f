"""Projections onto the sphere and onto chains of loops."""

# Shapes: B rows of a batch, D latent dimensions.

import math

import torch
from torch import Tensor, nn

EPS = 1e-7
MIN_NORM = 1e-4  # g has slope 1 / |y|; inside this radius it is linear, so that slopes stay below 1e4
CHORD = 1 / math.sqrt(3)  # distance of an arc's chord from its circle's centre, in units of half the chord


def project(y_BD: Tensor) -> Tensor:
    """y / (|y| + eps), continuous at the origin (Intel-VAE, section 6.1)."""
    return y_BD / (torch.linalg.vector_norm(y_BD, dim=1, keepdim=True).clamp_min(MIN_NORM) + EPS)


class Projection(nn.Module):
    """(B, D) -> (B, D) on the unit sphere."""

    def forward(self, y_BD: Tensor) -> Tensor:
        return project(y_BD)


class Chain(nn.Module):
    """(B, D) -> (B, D): the first two coordinates on a chain of loops from (-scale, 0) to (scale, 0).

    The circle's points (c, s) and (c, -s) meet where c is one of the nodes -1 + 2k/holes, 0 < k < holes.
    """

    def __init__(self, holes: int, scale: float):
        super().__init__()
        self.holes, self.scale = holes, scale

    def forward(self, y_BD: Tensor) -> Tensor:
        c_B, s_B = project(y_BD[:, :2]).unbind(1)
        loops_B2 = self.scale * torch.stack((c_B, s_B * self.squeeze(c_B)), 1)
        return torch.cat((loops_B2, y_BD[:, 2:]), 1)

    def squeeze(self, c_B: Tensor) -> Tensor:
        """w(c), which is 0 at the nodes and turns the circle (c, s) into the chain (c, s * w(c)).

        Between two nodes w is an arc of a circle of radius 2/sqrt(3) half chords, so it meets the axis at 60 degrees.
        An inner segment is an arc's whole chord. The outer two are half a chord: the other half is beyond the end.
        """
        if self.holes == 1:
            return torch.ones_like(c_B)
        k_B = ((c_B + 1) * self.holes / 2).floor().clamp(0, self.holes - 1)  # the segment between nodes k and k + 1
        first_B, last_B = (k_B == 0).to(c_B.dtype), (k_B == self.holes - 1).to(c_B.dtype)
        centre_B = (2 * k_B + 1 + last_B - first_B) / self.holes - 1
        half_B = (1 + first_B + last_B) / self.holes
        # |c| <= 1 keeps the radicand between 1/3 and 4/3
        return half_B * ((4 / 3 - ((c_B - centre_B) / half_B).square()).sqrt() - CHORD)
