"""Mapping: the record that a user writes, which builds the module z = g(y)."""

# Shapes: B rows of a batch, D latent dimensions.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainables.common.records import Mistake, Record

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainables.terms import Terms


class Mapping(Record):
    """A continuous, possibly trained map g from the Gaussian latent y to the representation z.

    Source: Intel-VAE, section 4. Fields are the paper's hyper-parameters. The latent dimension is a field of the
    network, so `build` gets it as an argument.
    """

    @abstractmethod
    def build(self, latent_dim: int) -> nn.Module:
        """g: (B, latent_dim) -> (B, latent_dim)."""

    def mistakes(self, latent_dim: int) -> Iterator[Mistake]:
        """Why this mapping cannot act on `latent_dim` dimensions. `build` must only be called if there are none."""
        return iter(())

    def terms(self, module: nn.Module, y_BD: Tensor) -> Terms:
        """The mapping's terms of the loss; `module` comes from `build`, y_BD holds this worker's rows of a batch."""
        return {}
