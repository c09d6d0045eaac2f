"""What a number rests on, so that a table never compares two that were made in different ways."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

Counts = tuple[tuple[str, int], ...]
"""What was counted and how many rows of it, as in (("generated", 10_000), ("real", 10_000)).

Rows are of the provenance's split, but for `relevance` and `prior`: the training rows that axes are judged by.
"""
Settings = tuple[tuple[str, Any], ...]
"""A metric's own settings by name, plain values: (("clusters", 20), ("runs", 10))."""


@dataclass(frozen=True)
class Provenance:
    """Numbers may stand in one column where all of this is the same."""

    extractor: str
    """What was measured: the name of a feature network, `pixels`, or `code` for the model's own representation."""
    extractor_hash: str
    """SHA-256 of that network's weights, in hex; empty where there are none, or where the model itself is measured."""
    counts: Counts
    split: str
    """Of the data: `train`, `val` or `test`."""
    mapping: str
    """How values became what was measured: a name in `trainables.metrics.images.MAPPINGS`, or `none`."""
    seed: int
    """Of all that was drawn."""
    settings: Settings = ()
    """The metric's own, and what else was found to matter, as the device of a time."""
    data: str = ""
    """The data set's name and those of its settings, but for how many rows train, that are not the defaults."""

    def line(self) -> str:
        """All of it in one line."""
        rows = " + ".join(f"{number} {what}" for what, number in self.counts)
        network = f"{self.extractor} {self.extractor_hash[:8]}".strip()
        own = "".join(f"; {name} {value}" for name, value in self.settings)
        split = f"{self.split} of {self.data}" if self.data else self.split
        return f"{network}; {rows}; split {split}; values {self.mapping}; seed {self.seed}{own}"

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Provenance:
        """From what `dataclasses.asdict` makes of one, also after it was JSON."""
        pairs = {name: tuple((each, value) for each, value in plain[name]) for name in ("counts", "settings")}
        return cls(**plain | pairs)


def differences(one: Provenance, other: Provenance) -> tuple[str, ...]:
    """Why two numbers do not compare, a line for each reason; none where they do."""
    there = asdict(other)
    return tuple(
        f"{name}: {value!r} and {there[name]!r}" for name, value in asdict(one).items() if value != there[name]
    )
