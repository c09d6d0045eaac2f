"""Evaluations of the likelihood of data, in nats per row: by windows on generated data, by importance sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.lazy import LazyModule
from trainables.evaluations.base import Measurement, OfRows

if TYPE_CHECKING:
    from trainables.evaluations.context import EvaluationContext

iwae = LazyModule("trainables.metrics.iwae")
parzen = LazyModule("trainables.metrics.parzen")


class Parzen(OfRows):
    """Negative log density of data under windows on generated data, and of these under windows on those.

    The windows' width is chosen on validation rows; where these are measured, on as many training rows.
    """

    name: Literal["parzen"] = "parzen"
    generated: PositiveInt = 10_000
    """Rows of generated data."""
    real: PositiveInt = 10_000
    """The first rows of the split, at most so many."""
    source: ClassVar[str] = "Breuleux et al. 2011; after VIMAE, table 1, whose own estimate is not known"

    def measure(self, seen: EvaluationContext) -> Measurement:
        name, rows = seen.name_of(self.split), seen.rows(self.split, self.real)
        other = seen.rows("train" if name == "val" else "val", len(rows))
        shares = (seen.share_of_generated(self.generated, self.seed), seen.share_of(other), seen.share_of(rows))
        counts = {"generated": self.generated, "real": len(rows), "to choose a width": len(other)}
        return Measurement(parzen.parzen(*shares), self.provenance("pixels", counts, name))


class IWAE(OfRows):
    """Negative log p(x), from above, by importance samples of the posterior.

    A likelihood that takes grey values for probabilities does not compare with densities: `mass` or `density`.
    """

    name: Literal["iwae"] = "iwae"
    k: PositiveInt = 500
    """Samples for each row."""
    rows: PositiveInt = 10_000
    """The first rows of the split, at most so many."""
    source: ClassVar[str] = "Burda et al. 2016"

    def measure(self, seen: EvaluationContext) -> Measurement:
        rows = seen.rows(self.split, self.rows)
        numbers = {"iwae_nll": -iwae.iwae(seen.learner, rows, self.k, self.seed)}
        kind = (("likelihood", seen.vae.likelihood.gives),)
        return Measurement(
            numbers, self.provenance("pixels", {"rows": len(rows)}, seen.name_of(self.split), found=kind)
        )
