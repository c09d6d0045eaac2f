"""InfoVAE: separate weights for the information in a code and for the distance of all codes to the prior."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import NonNegativeFloat

from trainables.common.lazy import LazyModule
from trainables.common.records import Mistake
from trainables.methods.base import Method, negative_elbo

if TYPE_CHECKING:
    from trainables.model import Pass
    from trainables.terms import Terms

mmd = LazyModule("trainables.distributions.mmd")


class InfoVAE(Method):
    """Reconstruction + (1 - alpha) KL + (alpha + lam - 1) MMD between the codes and the prior.

    alpha = 1 is MMD-VAE; alpha = 0, lam = 1 is the VAE. VIMAE's notation: a = 1 - alpha weighs the information.

    Loss: w nll + (1 - alpha) KL(q(z|x) || N(0, I)) + (alpha + lam - 1) MMD(codes of a batch, N(0, I)).
    """

    name: Literal["info_vae"] = "info_vae"
    alpha: float
    """Alpha, at most 1: the KL has the weight 1 - alpha."""
    lam: float
    """Lambda, at least 1 - alpha: the MMD has the weight alpha + lam - 1."""
    kernel: Literal["imq", "rbf"] = "imq"
    """imq: WAE's kernels, unbiased; rbf: Zhao's kernel, biased, with 200 prior samples."""
    reconstruction_weight: NonNegativeFloat = 1.0
    """Weight of the reconstruction: 0.05 of the squared error in all of VIMAE's models, after WAE's code; a mean over
    pixels, 1 / 784 for MNIST, in Zhao's."""
    source: ClassVar[str] = "Zhao et al. 2017; VIMAE, section 3"
    term_names: ClassVar[tuple[str, ...]] = ("nll", "kl", "mmd")

    def terms(self, seen: Pass) -> Terms:
        discrepancy = mmd.DISCREPANCIES[self.kernel].to_prior(seen.y_BD, seen.vae.prior, seen.noise)
        elbo = negative_elbo(seen, 1 - self.alpha, self.reconstruction_weight)
        return elbo | {"mmd": (self.alpha + self.lam - 1, discrepancy)}

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        if self.alpha > 1:
            yield "alpha", f"the KL's weight 1 - alpha is {1 - self.alpha:g}, below 0. Make alpha at most 1."
        if self.alpha + self.lam < 1:
            yield (
                "lam",
                f"the MMD's weight alpha + lam - 1 is {self.alpha + self.lam - 1:g}, below 0. Make lam at least "
                f"{1 - self.alpha:g}.",
            )
