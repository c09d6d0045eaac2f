"""Evaluations of the data's likelihood, in nats per row: by Parzen windows and by importance sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveInt

from trainables.common.lazy import LazyModule
from trainables.evaluations.base import Measurement, OfGenerated, OfRows, by_axes

if TYPE_CHECKING:
    from trainables.evaluations.context import EvaluationContext

iwae = LazyModule("trainables.metrics.iwae")
parzen = LazyModule("trainables.metrics.parzen")


class Parzen(OfGenerated):
    """Negative log density of real data under Parzen windows on generated data, and the reverse.

    The width of the windows is chosen on validation rows, or on training rows if `split` is `val`: from 0.05 to 1, or,
    for data without a range, from 0.005 to 1 times their standard deviation.
    """

    name: Literal["parzen"] = "parzen"
    generated: PositiveInt = 10_000
    """Number of generated rows."""
    real: PositiveInt = 10_000
    """Largest number of rows, the first of the split."""
    source: ClassVar[str] = "Breuleux et al. 2011; after VIMAE, table 1, whose own estimate is not known"
    gives: ClassVar[tuple[str, ...]] = by_axes("parzen_nll", "parzen_width", "parzen_reversed_nll")
    version: ClassVar[int] = 2  # 1 tried the same widths for data without a range, whatever their units

    def measure(self, seen: EvaluationContext) -> Measurement:
        name, rows = seen.name_of(self.split), seen.rows(self.split, self.real)
        other = seen.rows("train" if name == "val" else "val", len(rows))
        generated = seen.share_of_generated(self.generated, self.seed, self.axes)
        val = seen.share_of(other)
        widths = parzen.WIDTHS if rows.range else parzen.widths_for(val)
        found = parzen.parzen(generated, val, seen.share_of(rows), widths)
        counts = {"generated": self.generated, "real": len(rows), "to choose a width": len(other)}
        provenance = self.provenance("pixels", counts | self.rows_for_axes(seen), name)
        return Measurement(self.named(found.numbers), provenance, lacking=found.edge)


class IWAE(OfRows):
    """An upper bound of -log p(x), by importance samples of the posterior.

    A likelihood that treats grey values as probabilities (`mass`) does not compare with a density (`density`).
    """

    name: Literal["iwae"] = "iwae"
    k: PositiveInt = 500
    """Number of samples per row."""
    rows: PositiveInt = 10_000
    """Largest number of rows, the first of the split."""
    source: ClassVar[str] = "Burda et al. 2016"
    gives: ClassVar[tuple[str, ...]] = ("iwae_nll",)

    def measure(self, seen: EvaluationContext) -> Measurement:
        rows = seen.rows(self.split, self.rows)
        numbers = {"iwae_nll": -iwae.iwae(seen.learner, rows, self.k, self.seed)}
        kind = (("likelihood", seen.vae.likelihood.gives),)
        return Measurement(
            numbers, self.provenance("pixels", {"rows": len(rows)}, seen.name_of(self.split), found=kind)
        )
