"""What a method is: its hyper-parameters, the parts it needs, and its objective."""

# Shapes: B rows, D latent dimensions.

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from trainables.divergences import kl
from trainables.objective import Pass, Terms
from trainables.posteriors import Gaussian, Posterior
from trainables.priors import Normal, Prior
from trainables.records import Mistake, Record


@dataclass(frozen=True)
class HeldOut:
    """Rows kept out of an epoch's gradient steps for the prior's statistics (ARD-VAE's D_z)."""

    rows: int = 0
    every_epochs: int = 1  # epochs between fresh draws


class Method(Record):
    """What a paper proposes. Fields are the paper's hyper-parameters."""

    posterior: ClassVar[type[Posterior]] = Gaussian
    own_metrics: ClassVar[tuple[str, ...]] = ()  # metrics beyond those of every method

    @abstractmethod
    def terms(self, seen: Pass) -> Terms:
        """The objective's terms for one batch."""

    def prior(self, latent_dim: int) -> Prior:
        return Normal(latent_dim)

    def map(self, latent_dim: int) -> nn.Module:
        """z = g(y), the mapping between posterior and decoder."""
        return nn.Identity()

    def held_out(self, train_rows: int) -> HeldOut:
        return HeldOut()

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        """Combinations of hyper-parameters and data that cannot work."""
        return iter(())


def negative_elbo(seen: Pass, beta: float) -> Terms:
    """Reconstruction + beta * KL, in nats, per row. The KL stays on y (Intel-VAE, section 4)."""
    return {
        "nll": (1.0, seen.decoded.nll(seen.x_BX)),
        "kl": (beta * seen.kl_scale, kl(seen.q, seen.prior, seen.y_BD)),
    }
