"""Evaluations of the latent space: which axes matter, how sparse and how disentangled they are, what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from trainables.late import Late
from trainables.metrics.evaluations.base import Evaluation
from trainables.metrics.provenance import Provenance, of_rows

if TYPE_CHECKING:
    from trainables.metrics.evaluations.evidence import Evidence

disentanglement = Late("trainables.metrics.mig")


class MIG(Evaluation):
    """Mutual information gap on the factors that the data were made from."""

    name: Literal["mig"] = "mig"
    source: ClassVar[str] = "Chen et al. 2018, in the form of disentanglement_lib"

    def compute(self, seen: Evidence) -> dict[str, float]:
        codes_ND, factors_NF = seen.factor_pairs(self.split)
        return seen.alone(lambda: disentanglement.mig(codes_ND, factors_NF, self.seed))

    def provenance(self, seen: Evidence) -> Provenance:
        return of_rows("code", len(seen.rows(self.split)), seen.name_of(self.split), self.seed, self.own_settings())
