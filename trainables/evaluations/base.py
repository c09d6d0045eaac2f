"""What an evaluation is: a number, or a few, about a trained model, with settings of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import NonNegativeInt

from trainables.common.records import Record
from trainables.data.base import Split
from trainables.metrics.provenance import Provenance, Settings

if TYPE_CHECKING:
    from trainables.evaluations.context import EvaluationContext

TOLD = ("name", "split", "seed", "features", "weights", "generated", "real", "rows")
"""Settings that other parts of a provenance tell, as they really were."""


@dataclass(frozen=True)
class Measurement:
    """What an evaluation makes of a model: the same on every worker."""

    values: dict[str, float]
    provenance: Provenance | None
    pictures: dict[str, bytes] = field(default_factory=dict)
    """File name -> PNG."""


class Evaluation(Record):
    """Fields are settings: they are part of every number's provenance, and of the name under which it is kept."""

    name: str
    seed: NonNegativeInt = 0
    """Of all that is drawn."""

    @abstractmethod
    def measure(self, seen: EvaluationContext) -> Measurement:
        """The numbers and what they rest on. Raises Undefined and DataError, on all workers alike."""

    def provenance(
        self,
        measured: str,
        counts: Mapping[str, int],
        split: str,
        sha256: str = "",
        found: Settings = (),
    ) -> Provenance:
        """Of numbers about `code`, `pixels` or the features of that name, of so many rows of each kind.

        `sha256` is of a network's weights, where one was used. `found` is what else the numbers depend on, such as the
        machine: it counts like a setting.
        """
        settings = (*self.own_settings(), *found)
        return Provenance(measured, sha256, tuple(counts.items()), split, "none", self.seed, settings)

    def identity(self) -> dict[str, Any]:
        """What of it decides the numbers, in plain values: its settings, a file by its content."""
        return self.model_dump(mode="json")

    def own_settings(self) -> Settings:
        """Those that no other part of a provenance tells."""
        return tuple((name, value) for name, value in self.model_dump(mode="json").items() if name not in TOLD)


class OfRows(Evaluation):
    """An evaluation of what the model makes of a split of the data."""

    split: Split | None = None
    """Of the data. None: `test` where the set has test rows, else `val`."""


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found of one model: plain values, ready to be kept."""

    metric: str
    """The evaluation's name."""
    settings: dict[str, Any]
    """All fields of the evaluation."""
    values: dict[str, float]
    """Empty where they are not defined."""
    provenance: Provenance | None
    undefined: str
    """Why there are no values, one sentence; else empty."""
    lasting: bool
    """False where something was missing that can be had later: such a result is not to be kept."""
    epoch: int
    """Epochs that the model was trained for."""
    seconds: float
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)
    """File name -> PNG."""

    def plain(self) -> dict[str, Any]:
        """Values that JSON can hold, all but the pictures."""
        return asdict(replace(self, pictures={})) | {"pictures": sorted(self.pictures)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any], pictures: dict[str, bytes] | None = None) -> EvaluationResult:
        """The result whose `plain` this is, also after it was JSON."""
        there = plain["provenance"]
        provenance = there and Provenance.from_plain(there)
        return cls(**plain | {"provenance": provenance, "pictures": pictures or {}})
