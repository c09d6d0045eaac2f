"""The base class of evaluations, which compute numbers about a trained model, and their results."""

from __future__ import annotations

import csv
import io
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import NonNegativeInt

from trainables.common.records import Record
from trainables.data.base import Split
from trainables.metrics.provenance import Provenance, Settings

if TYPE_CHECKING:
    from trainables.evaluations.context import EvaluationContext

ELSEWHERE = ("name", "split", "seed", "features", "weights", "generated", "real", "rows")
"""Settings that other fields of a provenance already hold, with the values that were actually used."""


@dataclass(frozen=True)
class Measurement:
    """What an evaluation measures of a model: the same on every worker."""

    values: dict[str, float]
    provenance: Provenance | None
    pictures: dict[str, bytes] = field(default_factory=dict)
    """File name -> PNG."""
    lacking: str = ""
    """One sentence on values that this model does not have though others are there, or that a setting bounds; else
    empty."""
    tables: dict[str, bytes] = field(default_factory=dict)
    """File name -> CSV in UTF-8, of numbers that are too many for values."""


class Evaluation(Record):
    """Fields are settings: they are part of every number's provenance, and identify the stored result."""

    name: str
    seed: NonNegativeInt = 0
    """Seed of all random draws."""

    gives: ClassVar[tuple[str, ...]] = ()
    """The names of the values that it can give, with any settings and of any model: names or patterns of `fnmatch`. No
    two evaluations give values of one name."""

    named_by: ClassVar[tuple[str, ...]] = ()
    """The settings that the names of the values tell apart."""
    version: ClassVar[int] = 1
    """To be raised when the values change, or what they mean: results of an older version are measured again."""

    @classmethod
    def can_give(cls, name: str) -> bool:
        """Whether a value may have this name."""
        return any(fnmatchcase(name, pattern) for pattern in cls.gives)

    @abstractmethod
    def measure(self, seen: EvaluationContext) -> Measurement:
        """The numbers and their provenance. Raises Undefined and DataError, on all workers alike."""

    def provenance(
        self,
        measured: str,
        counts: Mapping[str, int],
        split: str,
        sha256: str = "",
        found: Settings = (),
    ) -> Provenance:
        """The provenance of numbers about `measured`: `code`, `pixels` or the name of features.

        Args:
            counts: the number of rows of each kind.
            sha256: of a network's weights, where one was used.
            found: what else the numbers depend on, such as the machine; it counts like a setting.
        """
        settings = (*self.own_settings(), *found)
        return Provenance(measured, sha256, tuple(counts.items()), split, "none", self.seed, settings)

    def identity(self) -> dict[str, Any]:
        """The settings that decide the numbers, as plain values; a file is identified by its content."""
        return self.model_dump(mode="json") | ({"version": self.version} if self.version > 1 else {})

    def own_settings(self) -> Settings:
        """The settings that no other field of a provenance holds."""
        return tuple((name, value) for name, value in self.model_dump(mode="json").items() if name not in ELSEWHERE)


class OfRows(Evaluation):
    """An evaluation of the model on a split of the data."""

    split: Split | None = None
    """Split of the data. None: `test` where the set has test rows, else `val`."""


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table for `Measurement.tables`, with full precision."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode()


AXES = ("relevant", "all")


def by_axes(*names: str) -> tuple[str, ...]:
    """Names of values of generated data: these, and those with either setting of `axes`."""
    return tuple(f"{name}{suffix}" for suffix in ("", *(f"_{axes}" for axes in AXES)) for name in names)


class OfGenerated(OfRows):
    """An evaluation of generated data. What `axes` says ends the names of its values: `fid_relevant`, `fid_all`."""

    axes: Literal["relevant", "all"] | None = None
    """Which latent axes samples move. None: those of the method. `all`: all that the model uses; for ARD-VAE, as in its
    supplement's tables 11 and 14. `relevant`: of any method those that carry 99 % of the relevance score, as in its
    table 13; the others are at their mean over the first 10,000 training rows."""

    named_by: ClassVar[tuple[str, ...]] = ("axes",)

    def identity(self) -> dict[str, Any]:
        """The settings that decide the numbers; without `axes` they are those that there were before this field."""
        own = super().identity()
        return own if self.axes else {name: value for name, value in own.items() if name != "axes"}

    def own_settings(self) -> Settings:
        return tuple(pair for pair in super().own_settings() if pair != ("axes", None))

    def named(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """The numbers of generated data under the names that say which axes moved."""
        return {f"{name}_{self.axes}" if self.axes else name: value for name, value in numbers.items()}

    def rows_for_axes(self, seen: EvaluationContext) -> dict[str, int]:
        """The count of rows that decided which axes are relevant, for the provenance."""
        return {"relevance": int(seen.relevance_sums(self.seed)[0]["rows"])} if self.axes == "relevant" else {}


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation of one model: plain values, ready to be stored."""

    metric: str
    """The evaluation's name."""
    settings: dict[str, Any]
    """All fields of the evaluation."""
    values: dict[str, float]
    """Empty where the evaluation is undefined."""
    provenance: Provenance | None
    undefined: str
    """One sentence that says why there are no values; else empty."""
    lasting: bool
    """False where data or a file was missing that may be there later: such a result must not be stored."""
    epoch: int
    """Number of epochs that the model was trained for."""
    seconds: float
    pictures: dict[str, bytes] = field(default_factory=dict, repr=False)
    """File name -> PNG."""
    lacking: str = ""
    """One sentence on values that are not there though others are, or that a setting bounds; else empty."""
    version: int = 1
    """Of the evaluation, see `Evaluation.version`."""
    tables: dict[str, bytes] = field(default_factory=dict, repr=False)
    """File name -> CSV in UTF-8."""

    def plain(self) -> dict[str, Any]:
        """The result as JSON values, with the names of the pictures and tables only."""
        names = {"pictures": sorted(self.pictures), "tables": sorted(self.tables)}
        return asdict(replace(self, pictures={}, tables={})) | names

    @classmethod
    def from_plain(cls, plain: dict[str, Any], files: Mapping[str, bytes] = MappingProxyType({})) -> EvaluationResult:
        """The inverse of `plain`, also after a round trip through JSON. `files` are its pictures and tables."""
        there = plain["provenance"]
        kept = {kind: {name: files[name] for name in plain[kind] if name in files} for kind in ("pictures", "tables")}
        return cls(**plain | {"provenance": there and Provenance.from_plain(there)} | kept)
