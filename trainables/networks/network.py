"""What a network is: the record a user writes, and the two modules made from it."""

from abc import abstractmethod
from collections.abc import Iterator

from pydantic import PositiveInt
from torch import nn

from trainables.records import Mistake, Record


class Network(Record):
    """An encoder and a decoder for one size of the latent space.

    A network knows nothing of probability: the encoder's outputs are what the posterior reads (mean, log variance), the
    decoder's are what the likelihood reads, before its sigmoid or tanh.
    """

    latent_dim: PositiveInt

    @abstractmethod
    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """(B, *shape) in the data's range -> (B, outputs), unbounded."""

    @abstractmethod
    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        """(B, latent_dim) -> (B, C * multiple, H, W) or (B, X * multiple), unbounded: no final sigmoid or tanh."""

    def mistakes(self, shape: tuple[int, ...]) -> Iterator[Mistake]:
        """Why this network cannot take data of this shape."""
        return iter(())
