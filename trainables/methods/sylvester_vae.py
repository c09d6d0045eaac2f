"""VAE whose posterior is a Gaussian carried through an orthogonal Sylvester flow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.lazy import LazyModule
from trainables.common.records import Mistake
from trainables.methods.base import Method, negative_elbo

if TYPE_CHECKING:
    from trainables.distributions.flows import SylvesterHead
    from trainables.model import Pass
    from trainables.terms import Terms

flows = LazyModule("trainables.distributions.flows")

PAPER_COLUMNS = 8


class SylvesterVAE(Method):
    """VAE with y = f(y_0), y_0 Gaussian: the rate is log q_0(y_0) - sum log|det df| - log N(y; 0, I), from one sample.

    The flow's numbers are made of the encoder's features, and its Jacobian's determinant is exact.
    """

    name: Literal["sylvester_vae"] = "sylvester_vae"
    steps: PositiveInt = 4
    """Transformations in a row."""
    columns: PositiveInt | None = None
    """M, orthonormal directions that a step acts in; the determinant is right only up to the latent dimension.
    Default: 8 as in the code, at most the latent dimension."""
    source: ClassVar[str] = "van den Berg et al. 2018; Intel-VAE, section 6.2 (baseline) and its code"

    def posterior(self) -> SylvesterHead:
        return flows.SylvesterHead(self.steps, self.columns or PAPER_COLUMNS)

    def terms(self, seen: Pass) -> Terms:
        return negative_elbo(seen, beta=1.0)

    def mistakes(self, latent_dim: int, train_rows: int) -> Iterator[Mistake]:
        if (self.columns or 0) > latent_dim:
            yield (
                "columns",
                f"{self.columns} columns cannot be orthonormal in {latent_dim} latent dimensions. Ask for no more.",
            )
