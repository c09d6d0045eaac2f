"""Judges by one rule whether two means differ: ours and one that a paper prints, or those of two sweeps."""

import math
import statistics
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from trainables.metrics import Direction

CONFIDENCE = 0.95
RULE = (
    "Two means agree where 0 lies in Welch's 95 % interval of their difference, widened by half a unit of the last "
    "printed digit. A missing deviation is taken from the other side; where both are missing there is no verdict. "
    "Ours is that of a sample (divided by n - 1); `results` and `evaluate` show that of the population."
)
Word = Literal["agrees", "better", "worse", "higher", "lower", "no verdict"]
"""`higher` and `lower` are of numbers of which neither is better as such."""


@dataclass(frozen=True)
class Sample:
    """The mean of some trainings and what is known of its spread."""

    mean: float
    std: float | None = None
    """Of the sample (n - 1); None for a single training, or where it is not printed."""
    n: int | None = None
    """How many trainings; None where that is not known."""

    @classmethod
    def of(cls, numbers: Collection[float]) -> "Sample":
        """Of the numbers of our trainings, at least one."""
        spread = statistics.stdev(numbers) if len(numbers) > 1 else None
        return cls(statistics.fmean(numbers), spread, len(numbers))


@dataclass(frozen=True)
class Verdict:
    """How our mean compares with another."""

    word: Word
    low: float | None = None
    """The interval of our mean minus the other; None without a verdict."""
    high: float | None = None
    basis: str = ""
    """What the interval rests on, if not on two deviations; or why there is none."""


def judge(ours: Sample, other: Sample, better: Direction | None, rounding: float = 0.0) -> Verdict:
    """Compare two means by RULE. `rounding` is half a unit of the last printed digit.

    Source: B. L. Welch 1947; a borrowed deviation is Student's pooled interval with the lender's degrees of freedom.
    """
    if ours.std is None and other.std is None:
        return Verdict("no verdict", basis="one number on either side, and no deviation")
    half, basis = _half_width(ours, other)
    difference = ours.mean - other.mean
    low, high = difference - half - rounding, difference + half + rounding
    return Verdict(_word(low, high, better), low, high, basis)


def _word(low: float, high: float, better: Direction | None) -> Word:
    if low <= 0 <= high:
        return "agrees"
    above = low > 0
    if better is None:
        return "higher" if above else "lower"
    return "better" if above == (better == "max") else "worse"


def _half_width(ours: Sample, other: Sample) -> tuple[float, str]:
    """Half the width of the interval of the difference, and what it rests on if not on two deviations."""
    lender, borrowed = (other, ours) if ours.std is None else (ours, other)
    stds = [lender.std if sample.std is None else sample.std for sample in (ours, other)]
    parts = [std**2 / (sample.n or 1) for std, sample in zip(stds, (ours, other), strict=True)]
    variance = sum(parts)
    if borrowed.std is None:
        basis, freedom = f"{SIDES[borrowed is ours]}: the other deviation is taken for it", _freedom(lender)
    else:
        basis = "" if other.n else "how many trainings the other mean is of is not told: taken as one"
        below = sum(part**2 / _freedom(sample) for part, sample in zip(parts, (ours, other), strict=True))
        freedom = variance**2 / below if below else math.inf
    return _quantile(freedom) * math.sqrt(variance), basis


SIDES = {True: "one training here", False: "no deviation on the other side"}


def _freedom(sample: Sample) -> float:
    """Degrees of freedom of a deviation; it counts as known where it is not told how many trainings it is of."""
    return sample.n - 1 if sample.n and sample.n > 1 else math.inf


def _quantile(freedom: float) -> float:
    """Of Student's distribution, two-sided."""
    from scipy.stats import norm, t

    tail = (1 + CONFIDENCE) / 2
    return float(norm.ppf(tail) if math.isinf(freedom) else t.ppf(tail, freedom))
