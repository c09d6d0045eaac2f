"""Normalising flows over a Gaussian posterior: the orthogonal Sylvester flow."""

# Shapes: B rows, D dimensions of the code y, S steps of the flow, M columns of Q (M <= D), E outputs of the encoder.

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from trainables.distributions.posteriors import Draw, Gaussian, Posterior
from trainables.noise import Noise

ITERATIONS = 30
SMALLEST_NORM = 1e-12


@dataclass(frozen=True)
class SylvesterHead:
    """Reads the encoder's output as a Gaussian and the flow's parameters, which differ for every row.

    They are linear functions of the encoder's last features, as in the flow's paper; Intel-VAE's code computes them
    from the mean. Per step: Q (D, M) before it is made orthonormal; one (M, M) matrix whose upper triangle belongs to
    R1 and whose lower triangle, transposed, to R2; the diagonals of both, before tanh; a bias (M).
    """

    steps: int
    columns: int  # M, unless the code has fewer dimensions

    def sizes(self, dim: int) -> list[int]:
        """The numbers of parameters: Gaussian, Qs, triangles, diagonals, biases."""
        m = min(self.columns, dim)
        return [2 * dim, self.steps * dim * m, self.steps * m * m, self.steps * 2 * m, self.steps * m]

    def outputs(self, dim: int) -> int:
        return sum(self.sizes(dim))

    def of(self, features_BE: Tensor) -> "Sylvester":
        outputs = features_BE.shape[1]
        dim = bisect_left(range(outputs), outputs, key=self.outputs)  # inverts `outputs`, which is increasing
        gaussian, q, triangles, diagonals, bias = features_BE.split(self.sizes(dim), 1)
        m, per_step = (
            min(self.columns, dim),
            (features_BE.shape[0], self.steps),
        )  # `len` would fix it in an exported graph
        both_BSMM = triangles.view(*per_step, m, m)
        first_BSM, second_BSM = diagonals.view(*per_step, 2, m).tanh().unbind(2)
        return Sylvester(
            Gaussian.of(gaussian),
            orthonormal(q.view(*per_step, dim, m)),
            both_BSMM.triu(1) + first_BSM.diag_embed(),
            both_BSMM.tril(-1).mT + second_BSM.diag_embed(),
            bias.view(*per_step, m),
        )


@dataclass(frozen=True)
class Sylvester(Posterior):
    """y = f_S(... f_1(y_0)), y_0 Gaussian, f(y) = y + Q R1 tanh(R2 Q^T y + b).

    Q has orthonormal columns, R1 and R2 are upper triangular with diagonals in (-1, 1), which makes f invertible.
    Source: van den Berg et al. 2018, orthogonal Sylvester flows.
    """

    base: Gaussian
    q_BSDM: Tensor
    first_BSMM: Tensor  # R1
    second_BSMM: Tensor  # R2
    bias_BSM: Tensor

    @cached_property
    def mean_BD(self) -> Tensor:
        """The flow applied to the Gaussian's mean."""
        return self.flow(self.base.mean_BD)[0]

    @property
    def variance_BD(self) -> None:
        """A flow's variance has no closed form."""
        return None

    def draw(self, noise: Noise) -> Draw:
        start = self.base.draw(noise)
        y_BD, log_det_B = self.flow(start.y_BD)
        return Draw(y_BD, lambda: start.log_q() - log_det_B)

    def flow(self, y_BD: Tensor) -> tuple[Tensor, Tensor]:
        """The flow applied to y_0 (B, D), and the log determinant of its Jacobian there, (B,)."""
        log_det_B = y_BD.new_zeros(y_BD.shape[0])
        parts = (self.q_BSDM, self.first_BSMM, self.second_BSMM, self.bias_BSM)
        for q_BDM, first_BMM, second_BMM, bias_BM in zip(*(part.unbind(1) for part in parts), strict=True):
            h_BM1 = (second_BMM @ (q_BDM.mT @ y_BD[..., None]) + bias_BM[..., None]).tanh()
            y_BD = y_BD + (q_BDM @ (first_BMM @ h_BM1)).squeeze(2)
            slope_BM = 1 - h_BM1.squeeze(2).square()
            log_det_B = log_det_B + torch.log1p(slope_BM * diagonal(first_BMM) * diagonal(second_BMM)).sum(1)
        return y_BD, log_det_B


def orthonormal(a: Tensor) -> Tensor:
    """The orthonormal columns nearest to those of `a` (..., D, M), M <= D, by A <- A (I + (I - A^T A) / 2).

    Always 30 iterations: an early stop once a batch has converged would make a row depend on its batch.
    Source: van den Berg et al. 2018, after Bjorck & Bowie 1971; it converges from a Frobenius norm of 1.
    """
    a = a / a.norm(dim=(-2, -1), keepdim=True).clamp_min(SMALLEST_NORM)
    for _ in range(ITERATIONS):
        a = 1.5 * a - 0.5 * a @ (a.mT @ a)
    return a


def diagonal(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1)
