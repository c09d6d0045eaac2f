"""Network: the record that a user writes, which builds the encoder and the decoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveInt

from trainables.common.lazy import LazyModule, nn
from trainables.common.records import Mistake, Record

if TYPE_CHECKING:
    from trainables.networks.blocks import Starts

blocks = LazyModule("trainables.networks.blocks")


class Network(Record):
    """An encoder and a decoder for one size of the latent space.

    It does not depend on the distributions: the posterior interprets the encoder's outputs (mean, log variance), the
    likelihood the decoder's, before its sigmoid or tanh.
    """

    latent_dim: PositiveInt
    """L: dimensions of the representation z, the decoder's input."""

    normalised: ClassVar[bool] = False
    """Whether there is batch norm after most of its layers."""

    @abstractmethod
    def encoder(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """(B, *shape) in the data's range -> (B, outputs), unbounded. One linear layer computes all outputs."""

    @abstractmethod
    def decoder(self, shape: tuple[int, ...], latent_dim: int, multiple: int) -> nn.Module:
        """(B, latent_dim) -> (B, C * multiple, H, W) or (B, X * multiple), unbounded: no final sigmoid or tanh."""

    def mistakes(self, shape: tuple[int, ...]) -> Iterator[Mistake]:
        """Why this network cannot be used for data of this shape."""
        return iter(())


class Layered(Network):
    """A network of repeated layers; its methods define what all of a paper's layers have in common."""

    def starts(self) -> Starts:
        """Initial weights and biases, by kind of layer."""
        return blocks.Starts()

    def after_down(self, width: int) -> list[nn.Module]:
        """The modules after each of the encoder's layers, given its channels or units."""
        return self.after_up(width)

    def after_up(self, width: int) -> list[nn.Module]:
        """The modules after each of the decoder's layers, given its channels or units."""
        return [nn.ReLU()]


class ImageNetwork(Network):
    """A network for images, also of other sizes than its paper's where its layers allow; the weights' shapes change."""

    made_for: ClassVar[tuple[int, int, int]]
    """(C, H, W) of the paper's images."""

    @property
    @abstractmethod
    def side(self) -> int:
        """Heights and widths must be multiples of it: the decoder enlarges its first image by this factor."""

    def mistakes(self, shape: tuple[int, ...]) -> Iterator[Mistake]:
        if len(shape) != 3 or shape[1] % self.side or shape[2] % self.side:
            sizes = f" whose height and width are multiples of {self.side}" if self.side > 1 else ""
            cure = "Choose such data, or the network 'mlp', which takes any"
            asked = f"{self.name} takes images{sizes}, such as {self.made_for} (channels, height, width)"
            yield "name", f"{asked}, but the data has shape {tuple(shape)}. {cure}."
