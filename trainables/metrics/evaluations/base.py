"""What an evaluation is: a number, or a few, about a trained model, with settings of its own."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import NonNegativeInt

from trainables.metrics.provenance import Provenance
from trainables.records import Record

if TYPE_CHECKING:
    from trainables.metrics.evaluations.evidence import Evidence

Split = Literal["train", "val", "test"]


class Evaluation(Record):
    """Fields are settings: they are part of every number's provenance, and of the name under which it is kept."""

    name: str
    split: Split | None = None
    """Of the data. None: `test` where the set has test rows, else `val`."""
    seed: NonNegativeInt = 0
    """Of all that is drawn."""

    @abstractmethod
    def compute(self, seen: Evidence) -> dict[str, float]:
        """The numbers by name, the same on every worker. Raises Undefined and DataError."""

    @abstractmethod
    def provenance(self, seen: Evidence) -> Provenance:
        """What the numbers rest on."""

    def own_settings(self) -> tuple[tuple[str, Any], ...]:
        """Those that no other part of a provenance tells."""
        told = ("name", "split", "seed", "features", "weights", "mapping")
        return tuple((name, value) for name, value in self.model_dump(mode="json").items() if name not in told)


@dataclass(frozen=True)
class Finding:
    """What an evaluation found of one model: plain values, ready to be kept."""

    metric: str
    """The evaluation's name."""
    settings: dict[str, Any]
    """All fields of the evaluation."""
    values: dict[str, float]
    """Empty where they are not defined."""
    provenance: Provenance | None
    undefined: str
    """Why there are no values; else empty."""
    seconds: float
