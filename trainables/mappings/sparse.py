"""The sparse mapping: a small trained network closes dimensions, different ones for each row."""

# Shapes: B rows of a batch, D latent dimensions.

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat

from trainables.common.lazy import LazyModule, nn
from trainables.mappings.base import Mapping

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.terms import Terms

sparse = LazyModule("trainables.mappings.modules.sparse")
sums = LazyModule("trainables.sums")


class Sparse(Mapping):
    """Multiplies y by gates in [0, 1] that a trained dimension selector computes from y; a loss term closes them."""

    source: ClassVar[str] = "Intel-VAE, section 6.3, equation 7, and appendix C.3"

    name: Literal["sparse"] = "sparse"
    gamma: NonNegativeFloat = 1.0
    """Weight of the loss term L_sp: below 3 on MNIST-like data, 30 or 70 on CelebA. It does not carry over to another
    `floor` or `loss_on`: where all but one of 50 gates close, L_sp falls by 3.9, but above a floor of 0.2 by 0.07."""
    floor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Smallest value of a gate. The authors' code has 0.2."""
    loss_on: Literal["gates", "latents"] = "gates"
    """What L_sp is taken of: the gates, as in equation 7, or |z|, as in the released code."""
    initial_bias: float = 2.0
    """Bias of the selector's last layer before training. With 2 and no floor gates start at 0.88, so that y reaches the
    decoder; the released code has 0."""
    log_offset: NonNegativeFloat = 0.0
    """Added within the logarithm of the second entropy of L_sp. The released code has 1e-5."""

    def build(self, latent_dim: int) -> nn.Module:
        return sparse.DimensionSelector(latent_dim, self.floor, self.initial_bias)

    def terms(self, module: nn.Module, y_BD: Tensor) -> Terms:
        """L_sp of the whole batch, a scalar. Its sign is opposite to the paper's: minimising it makes z sparse."""
        of_BD = module.gates(y_BD) if self.loss_on == "gates" else module(y_BD).abs()
        return {"sparsity": (self.gamma, sparse.sparsity(sums.gather(of_BD), self.log_offset))}
