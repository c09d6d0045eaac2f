"""A VAE whose posterior is a Gaussian transformed by an orthogonal Sylvester flow."""

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

    The flow's parameters come from the encoder's features, and the determinant of its Jacobian is exact. In Intel-VAE's
    code they come from the mean, and the determinant is wrong: it pairs the slopes of each row with the diagonals of
    all, and has 8 columns even in one dimension, where none can be orthonormal. That is no bound, and is not followed.

    Loss: nll + log q_0(y_0|x) - sum log|det df| - log N(y; 0, I), from one sample.
    """

    name: Literal["sylvester_vae"] = "sylvester_vae"
    steps: PositiveInt = 4
    """Number of transformations."""
    columns: PositiveInt | None = None
    """Number M of orthonormal directions in which a transformation acts, at most the latent dimension. Default: 8 as in
    the code, or the latent dimension if that is smaller."""
    source: ClassVar[str] = "van den Berg et al. 2018; Intel-VAE, section 6.2 (baseline) and its code"
    distinct_axes: ClassVar[bool] = False

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
