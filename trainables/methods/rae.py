"""RAE: a deterministic autoencoder with a regularised decoder, which generates from a density fitted after training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveInt

from trainables.common.lazy import LazyModule
from trainables.common.records import Mistake, Record, choice
from trainables.methods.base import Method, Sampler, posteriors

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.posteriors import Head
    from trainables.model import VAE, Pass
    from trainables.relevance import Encodings
    from trainables.terms import Terms

ex_post = LazyModule("trainables.methods.modules.ex_post")
smoothness = LazyModule("trainables.methods.modules.smoothness")


class Regulariser(Record):
    """A regulariser of the decoder."""

    source: ClassVar[str] = "Ghosh et al. 2020 and its code"

    def change(self, vae: VAE) -> None:
        """Change the model's layers once, before training."""

    def terms(self, seen: Pass) -> Terms:
        """The regulariser's terms of the loss."""
        return {}


class L2(Regulariser):
    """The sum of squares of the decoder's transposed convolution kernels (of an MLP's weights), without biases."""

    name: Literal["l2"] = "l2"
    weight: NonNegativeFloat = 1e-7
    """Weight of the penalty: MNIST and CelebA 1e-7; CIFAR10, ImageNet, DSprites and 3D Shapes 1e-6."""
    dense: bool = False
    """Includes linear layers, as in the official code for CelebA."""

    def terms(self, seen: Pass) -> Terms:
        weights = smoothness.decoder_weights(seen.vae.decoder, self.dense)
        return {"l2": (self.weight, sum(weight.square().sum() for weight in weights))}


class GP(Regulariser):
    """The squared gradient of the decoder's output with respect to the code."""

    name: Literal["gp"] = "gp"
    weight: NonNegativeFloat = 0.5e-7
    """Weight of the penalty, which is a mean over latent dimensions."""

    def terms(self, seen: Pass) -> Terms:
        return {"gp": (self.weight, smoothness.gradient_penalty(seen))}


class SN(Regulariser):
    """Spectral normalisation of every layer, the encoder's included, as in the official code.

    That code has batch norm after every such convolution, without which all codes become one.
    """

    name: Literal["sn"] = "sn"

    def change(self, vae: VAE) -> None:
        smoothness.normalise(vae)


REGULARISERS: tuple[type[Regulariser], ...] = (
    L2,
    GP,
    SN,
)


class RAE(Method):
    """Autoencoder with small codes and a regularised decoder; the codes' density is estimated after training.

    The loss is a mean over data values and over latent dimensions; with a sum the same weights would be a thousand
    times weaker.

    Loss: nll / (number of data values) + beta |z|^2 / L + the regulariser's term, with z = E(x).
    """

    name: Literal["rae"] = "rae"
    beta: NonNegativeFloat = 1e-4
    """Weight of the codes' mean square. L2: MNIST, CelebA, DSprites and 3D Shapes 1e-4, CIFAR10 and ImageNet 1e-3; SN:
    MNIST 0.009, CIFAR10 0.03, CelebA 0.0024."""
    regulariser: choice(REGULARISERS) = L2()
    """The regulariser of the decoder."""
    components: PositiveInt = 10
    """Number of Gaussians, with full covariances, of the mixture that generates latents; 1 is a single Gaussian."""
    term_names: ClassVar[tuple[str, ...]] = ("nll", "code")
    source: ClassVar[str] = "Ghosh et al. 2020 and its code; ARD-VAE, supplement, table 6"

    def posterior(self) -> Head:
        return posteriors.Point

    def regularise(self, vae: VAE) -> None:
        self.regulariser.change(vae)

    def terms(self, seen: Pass) -> Terms:
        return {
            "nll": (1 / math.prod(seen.vae.shape), seen.decoded.nll(seen.x_BX)),
            "code": (self.beta, seen.z_BL.square().mean(1)),
        } | self.regulariser.terms(seen)

    def fit_sampler(self, seen: Encodings) -> dict[str, Tensor]:
        return ex_post.fit(ex_post.encodings(seen.vae, seen.train), self.components, seen.seed)

    def sampler_of(self, vae: VAE, fitted: dict[str, Tensor]) -> Sampler:
        return ex_post.Mixture.of(fitted, like=next(vae.parameters())).sample

    def differentiates_twice(self) -> bool:
        return isinstance(self.regulariser, GP)

    def notes(self, normalised: bool) -> Iterator[str]:
        if isinstance(self.regulariser, SN) and not normalised:
            yield (
                "rae: spectral normalisation collapses without batch norm, whatever beta is: take a network that has "
                "it, such as 'vimae_mlp' or 'intel_mnist'."
            )

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        if self.components > train_rows:
            yield (
                "components",
                f"{self.components:,} Gaussians cannot be fitted to {train_rows:,} training rows. Use fewer.",
            )
