"""The axes of charts: where a value lies between an axis's ends, and the ticks beside it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from orchestrator.text import show

WIDE = 8.0  # positive numbers whose largest is this many times the smallest are shown by their logarithm
FEW = 6  # different numbers that are ticks themselves
STEPS = 7  # about as many ticks as an axis has
LARGEST = 1e300  # in size; larger numbers are shown as infinite ones are
SMALLEST_SPAN = 1e-300
STRETCH = 2.0  # the worst value shown is this many times as far from the best as the worst quarter of all begins


class Tick(NamedTuple):
    """A mark on an axis."""

    share: float
    """Where: 0 is the lower end, 1 the upper one."""
    text: str


class Axis(Protocol):
    """Maps values to shares of its length."""

    def share(self, value: Any) -> float | None:
        """Between 0 and 1, which also stand for values beyond the ends; None for a value that has no place."""

    def ticks(self) -> list[Tick]: ...


@dataclass(frozen=True)
class Numbers:
    """An axis of numbers from `low` to `high`, uniform in their logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    marked: tuple[float, ...] = ()
    """Ticks; empty: round numbers."""
    whole: bool = False
    """Whether ticks are whole numbers only."""

    def share(self, value: Any) -> float | None:
        if not is_finite(value) or (self.log and value <= 0):
            return None
        low, high, at = map(math.log if self.log else float, (self.low, self.high, value))
        return min(max((at - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self) -> list[Tick]:
        if self.marked:
            return [Tick(self.share(value), show(value)) for value in self.marked]
        known = powers(self.low, self.high) if self.log else round_numbers(self.low, self.high)
        known = [value for value in known if not self.whole or value == round(value)]
        return [Tick(self.share(value), f"{value:.10g}") for value in known]


@dataclass(frozen=True)
class Labels:
    """An axis of values that are no numbers, evenly spaced in the order in which they came."""

    known: tuple[str, ...]

    def share(self, value: Any) -> float | None:
        text = label(value)
        if text not in self.known:
            return None
        return (self.known.index(text) + 0.5) / len(self.known)

    def ticks(self) -> list[Tick]:
        return [Tick((place + 0.5) / len(self.known), text) for place, text in enumerate(self.known)]


def is_finite(value: Any) -> bool:
    """Whether a value is a number with which one can calculate: no NaN, and so small that no difference overflows."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def label(value: Any) -> str:
    """A value that is no number as text; None, which a search may choose, is `none`."""
    return "none" if value is None else str(value)


def axis_of(values: Sequence[Any]) -> Numbers | Labels:
    """The axis of a hyper-parameter: of numbers if all values are, by their logarithm if they are wide apart."""
    if not values or not all(map(is_finite, values)):
        return Labels(tuple(dict.fromkeys(map(label, values))))
    known = sorted(set(values))
    low, high = known[0], known[-1]
    log = low > 0 and high / low >= WIDE
    return Numbers(low, high, log, tuple(known) if len(known) <= FEW else ())


def objective_axis(values: Iterable[float], sign: float) -> Numbers:
    """An axis for values of which `sign` (1 or -1) times larger ones are better; 0: neither.

    It ends where values are STRETCH times as far from the best as the worst quarter begins, so that a few bad ones do
    not press all others together.
    """
    known = sorted(sign * value if sign else value for value in values if is_finite(value))
    if not known:
        return Numbers(0.0, 1.0)
    worst, quarter, best = known[0], known[len(known) // 4], known[-1]
    if sign and best > quarter:
        worst = max(worst, best - STRETCH * (best - quarter))
    ends = sorted((sign or 1.0) * end for end in (worst, best))
    return Numbers(*_apart(*ends))


def _apart(low: float, high: float) -> tuple[float, float]:
    """Ends that differ."""
    pad = 0.0 if high > low else abs(low) * 0.05 or 1.0
    return low - pad, high + pad


def round_numbers(low: float, high: float) -> list[float]:
    """About STEPS multiples of 1, 2 or 5 times a power of ten, between two numbers."""
    if high - low < SMALLEST_SPAN:
        return [low]
    rough = (high - low) / STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)][: 3 * STEPS]


def powers(low: float, high: float) -> list[float]:
    """Powers of ten between two numbers, with 2 and 5 times them where that gives few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, len(exponents) // STEPS)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors if not exponent % every]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) >= 3:
            return found
    return found or [low, high]
