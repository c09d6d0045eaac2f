"""ARD-VAE: a prior whose variance per axis is estimated from encoded data, so that unneeded axes fall away."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveInt

from trainables.methods.base import HeldOut, Method, negative_elbo
from trainables.objective import Pass, Terms
from trainables.priors import ARD, StudentTARD
from trainables.records import Mistake

PRIORS = {"gaussian": ARD, "student_t": StudentTARD}
PAPER_DZ_SIZE = 10_000


class ARDVAE(Method):
    """VAE with the prior N(0, b/a), a and b made from a fresh, disjoint set D_z of encoded training rows each epoch."""

    name: Literal["ard_vae"] = "ard_vae"
    beta: NonNegativeFloat = 1.0
    """Supplement, table 6: MNIST 0.5, CelebA 1, CIFAR10 and ImageNet 0.05, DSprites and 3D Shapes 5."""
    dz_size: PositiveInt | None = None
    """Rows of D_z. Default: 10,000 as in the paper, at most a quarter of the training rows."""
    refresh_epochs: PositiveInt = 1
    """Epochs between fresh draws of D_z (u in Algorithm 1)."""
    prior_form: Literal["gaussian", "student_t"] = "gaussian"
    """Eq. 17 in closed form, or eq. 11 by one sample."""
    source: ClassVar[str] = "ARD-VAE, section 3 and supplement, Algorithms 1 and 2"
    own_metrics: ClassVar[tuple[str, ...]] = ("variance_min", "variance_max")

    def prior(self, latent_dim: int) -> ARD:
        return PRIORS[self.prior_form](latent_dim)

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, self.beta)

    def held_out(self, train_rows: int) -> HeldOut:
        return HeldOut(self.dz_size or max(1, min(PAPER_DZ_SIZE, train_rows // 4)), self.refresh_epochs)

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        rows = self.held_out(train_rows).rows
        if rows >= train_rows:
            yield (
                "dz_size",
                f"D_z takes {rows:,} of the {train_rows:,} training rows and leaves none to train on. Make it smaller.",
            )
