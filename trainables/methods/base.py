"""Method: the base of all methods, with their hyper-parameters, the model's parts that they need, and the objective."""

# Shapes: B rows, X data dimensions, D dimensions of the code y, L latent dimensions of z.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from trainables.common.lazy import LazyModule, nn
from trainables.common.records import Mistake, Record

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.data import Rows
    from trainables.distributions.likelihoods import Range
    from trainables.distributions.posteriors import Head, Posterior
    from trainables.distributions.priors import Prior
    from trainables.model import VAE, Form, Latents, Pass
    from trainables.noise import Noise
    from trainables.relevance import Encodings
    from trainables.sums import Sums
    from trainables.terms import Terms

divergences = LazyModule("trainables.distributions.divergences")
posteriors = LazyModule("trainables.distributions.posteriors")
priors = LazyModule("trainables.distributions.priors")
relevance = LazyModule("trainables.relevance")

Sampler = Callable[["Noise"], "Tensor"]
"""Noise of B rows -> latents z (B, L) of generated data."""


@dataclass(frozen=True)
class HeldOut:
    """Rows held out of an epoch's gradient steps for the prior's statistics (ARD-VAE's D_z)."""

    rows: int = 0
    every_epochs: int = 1  # epochs between new draws


@dataclass(frozen=True)
class Phase:
    """A kind of gradient step: the parameters that it updates and its learning rate. It has its own optimizer."""

    name: str = "all"
    parts: tuple[str, ...] = ("",)  # prefixes of its parameters' names, such as `encoder.`
    lr_scale: float = 1.0  # factor of the optimizer's learning rate


@dataclass(frozen=True)
class Setting:
    """The model and data that a method's parts are built for."""

    latent_dim: int
    shape: tuple[int, ...]
    examples_BX: Tensor  # training rows, for initial values
    data_range: Range  # (smallest, largest) value of the data; None where it is unbounded
    encode: Callable[[Tensor], Posterior]  # the model's `encode_as_in_evaluation`, for priors that need it


class Method(Record):
    """The method of a paper. Fields are the paper's hyper-parameters."""

    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl")  # the terms in every report of this method
    own_metrics: ClassVar[tuple[str, ...]] = ()  # metrics besides those of every method
    distinct_axes: ClassVar[bool] = True
    """Whether axes are directions that the posterior distinguishes, so that counting them means something. Where a flow
    mixes them, any rotation of the latent space is as good."""
    phases: ClassVar[tuple[Phase, ...]] = (Phase(),)
    """The phases of one cycle of gradient steps; a phase may occur more than once. Validation uses the first. All steps
    of a phase must have the same terms."""

    @abstractmethod
    def terms(self, seen: Pass) -> Terms:
        """The objective's terms for one batch, in the phase `seen.phase`."""

    def phase(self, step: int, vae: VAE) -> Phase:
        """The phase of the run's gradient step `step`, counted from 0: `phases` in a cycle, each with a new batch."""
        return self.phases[step % len(self.phases)]

    def passes(self) -> int:
        """Passes over the training rows in an epoch."""
        return 1

    def code_dim(self, latent_dim: int) -> int:
        """D, the dimensions of the code y, on which the posterior is defined; z = g(y) has `latent_dim`."""
        return latent_dim

    def posterior(self) -> Head:
        """The class of q(y|x), made from the encoder's output."""
        return posteriors.Gaussian

    def prior(self, setting: Setting) -> Prior:
        return priors.Normal(self.code_dim(setting.latent_dim))

    def map(self, latent_dim: int) -> nn.Module:
        """z = g(y), the mapping between posterior and decoder."""
        return nn.Identity()

    def extras(self, setting: Setting) -> nn.Module:
        """The method's other parameters and state: `vae.extras`."""
        return nn.Module()

    def regularise(self, vae: VAE) -> None:
        """Change the model's layers once, before training."""

    def encoder_input(self, x_BX: Tensor, noise: Noise) -> Tensor:
        """The encoder's input for training rows."""
        return x_BX

    def after_step(self, vae: VAE, phase: Phase, mine: Sums, rows: int) -> None:
        """Called after a gradient step. `mine` are this worker's sums of the terms; the whole batch has `rows` rows."""

    def relevance_form(self) -> Form:
        """How the weight of an axis is computed from the decoder's Jacobian; see `trainables.relevance.weight`."""
        return "square_mean_abs"

    def relevance_at(self) -> Latents:
        """At which latents that Jacobian is taken: sampled ones, or representations."""
        return "samples"

    def sampler(self, vae: VAE, train: Rows, seed: int) -> Sampler:
        """The sampler of latents with which a trained model generates data. Raises Undefined, see `fit_sampler`."""
        return self.sampler_of(vae, self.fit_sampler(relevance.Encodings(vae, train, seed)))

    def fit_sampler(self, seen: Encodings) -> dict[str, Tensor]:
        """What the sampler needs of encoded training rows: by default nothing. It is kept for use without data.

        The last letters of a name tell its tensor's dimensions, as everywhere. Raises Undefined where nothing fits.
        """
        return {}

    def sampler_of(self, vae: VAE, fitted: dict[str, Tensor]) -> Sampler:
        """The sampler with what `fit_sampler` has found: by default it samples the prior."""
        return lambda noise: vae.mapping(vae.prior.sample(noise))

    def moving_all_axes(self) -> Self:
        """The method whose samples move all axes that the model uses, whatever their relevance."""
        return self

    def proposal(self, vae: VAE, x_BX: Tensor) -> Posterior:
        """The proposal distribution for importance sampling of p(x): q(y|x)."""
        return vae.encode(x_BX)

    def held_out(self, train_rows: int) -> HeldOut:
        return HeldOut()

    def held_out_codes(self, q: Posterior, noise: Noise) -> Tensor:
        """The codes (B, D) of held-out rows whose statistics the prior takes."""
        return q.draw(noise).y_BD

    def differentiates_twice(self) -> bool:
        """Whether the objective holds a gradient of a network, which torch.compile cannot differentiate again."""
        return False

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        """Combinations of hyper-parameters and data that cannot work."""
        return iter(())

    def notes(self, normalised: bool) -> Iterator[str]:
        """What works badly, one line each, with a network with or without batch norm."""
        return iter(())


def negative_elbo(seen: Pass, beta: float, reconstruction_weight: float = 1.0) -> Terms:
    """Weighted reconstruction + beta * KL, in nats, per row. The KL is of y, not z (Intel-VAE, section 4)."""
    return {
        "nll": (reconstruction_weight, seen.decoded.nll(seen.x_BX)),
        "kl": (beta * seen.kl_scale, divergences.kl(seen.q, seen.vae.prior, seen.drawn)),
    }
