"""What a cluster can cost, as its file has the prices. A record's `cost()` tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.errors import UserError


@dataclass(frozen=True)
class Cost:
    """The most that a cluster can cost, in dollars; None where a machine's `usd_per_hour` is not written."""

    usd_per_hour_at_most: float | None
    """An hour with as many machines as it may grow to."""
    usd_at_most: float | None
    """All hours until every machine ends by itself."""


def cost_of(machines: Iterable[tuple[int, float | None]], hours: float) -> Cost:
    """The cost of machines, given as their number and the dollars that one costs an hour, for so many hours."""
    known = list(machines)
    if any(usd is None for _, usd in known):
        return Cost(None, None)
    hourly = sum(number * usd for number, usd in known)
    return Cost(hourly, hourly * hours)


def check_known(prices: Mapping[str, float | None]) -> None:
    """Raises UserError if the price of a group of nodes is not known: then dollars cannot be counted."""
    if unknown := [group for group, usd in prices.items() if usd is None]:
        cure = "Write the usd_per_hour of each machine into the cluster's file, or budget.hours into the spec."
        raise UserError(f"budget.usd: the price of {', '.join(unknown)} is not known. {cure}")
