"""Provenance: how a number was computed, so that a table never compares numbers computed in different ways."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

Counts = tuple[tuple[str, int], ...]
"""Numbers of rows by kind, such as (("generated", 10_000), ("real", 10_000)).

Rows are of the provenance's split, except `relevance` and `prior`: training rows, for the axes' relevance or the prior.
"""
Settings = tuple[tuple[str, Any], ...]
"""A metric's own settings by name, plain values: (("clusters", 20), ("runs", 10))."""


@dataclass(frozen=True)
class Provenance:
    """How a number was computed. Numbers compare, and may share a column, only if their provenances are equal."""

    extractor: str
    """What was measured: the name of a feature network, `pixels`, or `code` for the model's own representation."""
    extractor_hash: str
    """SHA-256 of that network's weights, in hex; empty where there are none, or where the model itself is measured."""
    counts: Counts
    split: str
    """Split of the data: `train`, `val` or `test`."""
    mapping: str
    """How values became images: a name in `trainables.metrics.images.MAPPINGS`, or `none`."""
    seed: int
    """Seed of all random draws."""
    settings: Settings = ()
    """The metric's own settings, and what else the number depends on, such as the device of a time."""
    data: str = ""
    """The data set's name and its settings that are not the defaults, except the numbers of rows."""

    def line(self) -> str:
        """The provenance as one line of text."""
        rows = " + ".join(f"{number} {what}" for what, number in self.counts)
        network = f"{self.extractor} {self.extractor_hash[:8]}".strip()
        own = "".join(f"; {name} {value}" for name, value in self.settings)
        split = f"{self.split} of {self.data}" if self.data else self.split
        return f"{network}; {rows}; split {split}; values {self.mapping}; seed {self.seed}{own}"

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Provenance:
        """The inverse of `dataclasses.asdict`, also after a round trip through JSON."""
        pairs = {name: tuple((each, value) for each, value in plain[name]) for name in ("counts", "settings")}
        return cls(**plain | pairs)


def differences(one: Provenance, other: Provenance) -> tuple[str, ...]:
    """Why two numbers do not compare, a line for each difference; empty where they do."""
    there = asdict(other)
    return tuple(
        f"{name}: {value!r} and {there[name]!r}" for name, value in asdict(one).items() if value != there[name]
    )
