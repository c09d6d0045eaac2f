"""ARD-VAE: a prior whose variance per axis is estimated from encoded data, so that unneeded axes are pruned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import NonNegativeFloat, PositiveInt

from trainables.common.records import Mistake, unwritten
from trainables.methods.base import HeldOut, Method, Sampler, Setting, divergences, negative_elbo, priors, relevance

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.distributions.posteriors import Posterior
    from trainables.distributions.priors import ARD
    from trainables.model import VAE, Pass
    from trainables.noise import Noise
    from trainables.relevance import Encodings
    from trainables.terms import Terms

PAPER_DZ_SIZE = 10_000
VALIDATION_SAMPLES = 64


class ARDVAE(Method):
    """VAE with the prior N(0, b/a); a and b come from a new held-out set D_z of encoded training rows each epoch.

    The official code initialises all convolutions from seed 0 in every run: here all weights depend on the run's seed.
    It logs a KL with s for the log s of eq. 17, which its plateau then watches: here it is that of eq. 17.

    Loss: nll + beta KL(q(z|x) || N(0, diag(b / a))).
    """

    name: Literal["ard_vae"] = "ard_vae"
    beta: NonNegativeFloat = 1.0
    """Weight of the KL. Supplement, table 6: MNIST 0.5, CelebA 1, CIFAR10 and ImageNet 0.05, DSprites and 3D Shapes
    5."""
    dz_size: PositiveInt | None = None
    """Number of rows of D_z. Default: 10,000 as in the paper, at most a quarter of the training rows."""
    refresh_epochs: PositiveInt = 1
    """Epochs between new draws of D_z (u in Algorithm 1)."""
    dz_codes: Literal["samples", "means"] = "samples"
    """What D_z holds of its rows' posteriors: a sample of each, as in Algorithm 2 and the official code, or their
    means, as in that code with `scatter_use_var` off."""
    prior_form: Literal["gaussian", "student_t"] = "gaussian"
    """gaussian: eq. 17 in closed form; student_t: eq. 11, estimated from one sample, in validation from 64."""
    relevance: Literal["square_mean_abs", "mean_square"] = "square_mean_abs"
    """Weight of an axis: the official code's square of the mean absolute Jacobian, or eq. 19's mean square."""
    jacobian: Literal["samples", "means"] = unwritten("samples")
    """Where the Jacobian is taken: at sampled codes, as in the official code, or at their means, as the paper says."""
    generate: Literal["active", "all"] = "active"
    """active: only the relevant axes are sampled, the others are at their mean; all: all axes (ARD-VAE-ALL), which the
    official code does with r = 1."""
    source: ClassVar[str] = "ARD-VAE, section 3 and supplement, Algorithms 1 and 2"
    own_metrics: ClassVar[tuple[str, ...]] = ("variance_min", "variance_max")

    def prior(self, setting: Setting) -> ARD:
        return priors.ARD_FORMS[self.prior_form](setting.latent_dim)

    def terms(self, seen: Pass) -> Terms:
        terms = negative_elbo(seen, self.beta)
        if self.prior_form == "student_t" and not seen.vae.training:
            weight, _ = terms["kl"]
            terms["kl"] = (weight, divergences.sampled_kl(seen.q, seen.vae.prior, seen.noise, VALIDATION_SAMPLES))
        return terms

    def relevance_form(self) -> Literal["square_mean_abs", "mean_square"]:
        return self.relevance

    def relevance_at(self) -> Literal["samples", "means"]:
        return self.jacobian

    def fit_sampler(self, seen: Encodings) -> dict[str, Tensor]:
        """m, and s r, of the codes of the first 10,000 training rows.

        r is 1 for relevant axes (`active`) or for all of them (`all`), else 0.
        """
        if self.generate == "all":
            return {"mean_D": seen.codes.mean_D, "second_D": seen.codes.second_D}
        found = seen.relevance
        return {"mean_D": found.mean_D, "second_D": found.variance_D * found.active()}

    def sampler_of(self, vae: VAE, fitted: dict[str, Tensor]) -> Sampler:
        """z = m + sqrt(s r) eps as in the official code."""
        codes = relevance.Codes(**fitted)
        return lambda noise: codes.sample(noise.normal("prior", vae.latent_dim))

    def moving_all_axes(self) -> Self:
        return self.model_copy(update={"generate": "all"})

    def held_out_codes(self, q: Posterior, noise: Noise) -> Tensor:
        return q.mean_BD if self.dz_codes == "means" else super().held_out_codes(q, noise)

    def held_out(self, train_rows: int) -> HeldOut:
        return HeldOut(self.dz_size or max(1, min(PAPER_DZ_SIZE, train_rows // 4)), self.refresh_epochs)

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        rows = self.held_out(train_rows).rows
        if rows >= train_rows:
            yield (
                "dz_size",
                f"D_z takes {rows:,} of the {train_rows:,} training rows and leaves none to train on. Make it smaller.",
            )
