"""What a sweep has used up of its budget: counted at the end of each epoch, and kept in its journal."""

import time
from collections.abc import Callable

HOUR_S = 3600.0

Price = dict[str, float]
"""What an epoch took: names of limits -> amounts."""


class BudgetMeter:
    """Counts what each of the `limits` names: `epochs`, `hours`, `gpu_hours`. Without limits it is never empty.

    `gpus` are those of a trial; `clock` tells seconds. Hours run from here on: of processes that came before, those up
    to their last epoch are paid.
    """

    def __init__(self, limits: Price, gpus: float, clock: Callable[[], float] = time.monotonic):
        self.limits, self.gpus, self.clock = limits, gpus, clock
        self.spent = dict.fromkeys(limits, 0.0)
        self.paid_until = clock()

    def price(self, seconds: float) -> Price:
        """What the epoch that ends now has taken; a trial trained for `seconds` of it."""
        now = self.clock()
        hours, self.paid_until = (now - self.paid_until) / HOUR_S, now
        price = {"epochs": 1, "hours": hours, "gpu_hours": seconds * self.gpus / HOUR_S}
        return {name: price[name] for name in self.limits}

    def pay(self, price: Price) -> None:
        """Count what an epoch took."""
        for name, amount in price.items():
            self.spent[name] += amount

    @property
    def empty(self) -> str | None:
        """The first limit that is reached, as `budget: 40 epochs`; None if there is something left of all."""
        used_up = (name for name, limit in self.limits.items() if self.spent[name] >= limit)
        return next((f"budget: {self.limits[name]:g} {name.replace('_', ' ')}" for name in used_up), None)

    def statement(self) -> dict[str, dict[str, float]]:
        """For results.json: each limit, and how much of it is spent."""
        return {name: {"limit": limit, "spent": self.spent[name]} for name, limit in self.limits.items()}


UNLIMITED = BudgetMeter({}, 0.0)
"""Of a sweep without a budget."""
