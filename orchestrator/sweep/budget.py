"""Counts what a sweep has used of its budget: at the end of each epoch, and recorded in its journal."""

import time
from collections.abc import Callable

HOUR_S = 3600.0

Price = dict[str, float]
"""What an epoch used: names of limits -> amounts."""


def no_bill() -> float:
    """What a machine of one's own costs: 0 dollars an hour."""
    return 0.0


class BudgetMeter:
    """Counts what each of the `limits` names: `epochs`, `hours`, `gpu_hours`, `usd`. Without limits it never runs out.

    `gpus` are those of a trial; `usd_per_hour` returns what all machines of the sweep cost at present; `clock` returns
    seconds. Hours and dollars count from here on; the journal adds those of earlier processes, up to the last epoch of
    each. What a limit that was added later names is counted from then on.
    """

    def __init__(
        self,
        limits: Price,
        gpus: float,
        usd_per_hour: Callable[[], float] = no_bill,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.limits, self.gpus, self.usd_per_hour, self.clock = limits, gpus, usd_per_hour, clock
        self.spent = dict.fromkeys(limits, 0.0)
        self.paid_until = clock()

    def price(self, seconds: float) -> Price:
        """What the epoch that ends now has used; its trial trained for `seconds`."""
        now = self.clock()
        hours, self.paid_until = (now - self.paid_until) / HOUR_S, now
        price = {"epochs": 1, "hours": hours, "gpu_hours": seconds * self.gpus / HOUR_S}
        if "usd" in self.limits:
            price["usd"] = hours * self.usd_per_hour()
        return {name: price[name] for name in self.limits}

    def pay(self, price: Price) -> None:
        """Count what an epoch used; that it was one counts also where its price was taken without such a limit."""
        counted = {"epochs": 1} | price
        for name in self.limits:
            self.spent[name] += counted.get(name, 0.0)

    @property
    def empty(self) -> str | None:
        """The first limit that is reached, as `budget: 40 epochs`; None if none is."""
        used_up = (name for name, limit in self.limits.items() if self.spent[name] >= limit)
        return next((f"budget: {self.limits[name]:g} {name.replace('_', ' ')}" for name in used_up), None)

    def statement(self) -> dict[str, dict[str, float]]:
        """For results.json: each limit, and how much of it is used."""
        return {name: {"limit": limit, "spent": self.spent[name]} for name, limit in self.limits.items()}


UNLIMITED = BudgetMeter({}, 0.0)
"""The meter of a sweep without a budget."""
