"""The one channel between a slot and its worker group: orders go in, answers come out. It does not import Ray."""

import asyncio
from collections import deque

STEP = "step"  # train the next epoch; answered with its result
DRAW = "draw"  # draw the pictures of the epoch just finished; answered with {}
SETTLE = "settle"  # send what the trial has so far to the driver's disk; answered with {}


class Mailbox:
    """Holds the orders for a worker group, and its answers, until they are fetched.

    An order is a trial's config, which replaces the trial before it; or STEP, DRAW or SETTLE, which get one answer
    each; or None: end. Every worker reads the same orders, by number from 0, so all do the same thing.

    A restarted group is a new incarnation. It begins with the current trial and the unanswered order. Answers from an
    older incarnation are refused: after a node is lost, the workers on other nodes may continue for a while.
    """

    def __init__(self):
        self.incarnation = 0
        self.orders: list[dict | str | None] = []
        self.trial: dict | None = None
        self.unanswered: str | None = None
        self.closed = False
        self.events: deque[dict] = deque()  # for the slot
        self.changed = asyncio.Condition()

    # for the slot

    async def begin(self, trial: dict) -> None:
        """Order the group to train `trial`, and forget the trial before."""
        self.trial, self.unanswered = trial, None
        self.events.clear()
        await self._put(trial)

    async def ask(self, order: str) -> None:
        """Give the order STEP, DRAW or SETTLE; `next` has its answer."""
        self.unanswered = order
        await self._put(order)

    async def next(self, seconds: float) -> dict | None:
        """The next event: {"answer"}, or {"reason", "trial_fault"} of a failure; None if `seconds` pass without one."""
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(lambda: self.events), seconds)
            except TimeoutError:
                return None
            return self.events.popleft()

    async def close(self) -> None:
        """Order every worker to end once it has carried out its earlier orders."""
        self.closed = True
        await self._put(None)

    # for the group

    async def register(self) -> int:
        """Register a new group, once. Returns its incarnation, which the group passes with every call."""
        self.incarnation += 1
        self.orders = [order for order in (self.trial, self.unanswered) if order is not None]
        if self.closed:
            self.orders = [None]
        await self._wake()
        return self.incarnation

    async def order(self, incarnation: int, number: int) -> dict | str | None:
        """Order `number` of this incarnation, as soon as it is given. None: end, also for a group that was replaced."""
        async with self.changed:
            await self.changed.wait_for(lambda: incarnation != self.incarnation or number < len(self.orders))
        return self.orders[number] if incarnation == self.incarnation else None

    async def current(self, incarnation: int) -> bool:
        """Whether this incarnation may still write into the trial's folder."""
        return incarnation == self.incarnation

    async def answer(self, incarnation: int, answer: dict) -> bool:
        """Answer the order. Returns False, and passes nothing on, if the group that answers has been replaced."""
        if incarnation != self.incarnation:
            return False
        self.unanswered = None
        self.events.append({"answer": answer})
        await self._wake()
        return True

    async def fail(self, reason: str, trial_fault: bool) -> None:
        """Report that workers failed. `trial_fault`: the trial itself raised the error, and would raise it again."""
        self.events.append({"reason": reason, "trial_fault": trial_fault})
        await self._wake()

    async def _put(self, order: dict | str | None) -> None:
        self.orders.append(order)
        await self._wake()

    async def _wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()
