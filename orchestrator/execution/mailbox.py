"""The one channel between a slot and its worker group: orders go in, answers come out. Knows nothing of Ray."""

import asyncio
from collections import deque

STEP = "step"  # train the next epoch; answered with its result
DRAW = "draw"  # draw the pictures of the epoch just finished; answered with {}


class Mailbox:
    """Holds the orders for a worker group, and its answers, until they are fetched.

    An order is a trial's config, which takes the place of the trial before it; or STEP or DRAW, which each get one
    answer; or None: end. Every worker reads the same orders, by number from 0, so all do the same thing.

    A group that was started anew is a new incarnation. It begins with the trial that is running and the order that is
    unanswered. What an older one says is refused: after a node is lost its workers may go on for a while.
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
        """Let the group turn to `trial`, and forget the one before."""
        self.trial, self.unanswered = trial, None
        self.events.clear()
        await self._put(trial)

    async def ask(self, order: str) -> None:
        """Give the order STEP or DRAW; `next` has its answer."""
        self.unanswered = order
        await self._put(order)

    async def next(self, seconds: float) -> dict | None:
        """The next event: {"answer": ...} or {"reason", "own"} of a failure; None if there is none for `seconds`."""
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait_for(lambda: self.events), seconds)
            except TimeoutError:
                return None
            return self.events.popleft()

    async def close(self) -> None:
        """Let every worker end as soon as it has done what it was told."""
        self.closed = True
        await self._put(None)

    # for the group

    async def register(self) -> int:
        """Called once by each new group: its incarnation, to be told with all that it says."""
        self.incarnation += 1
        self.orders = [order for order in (self.trial, self.unanswered) if order is not None]
        if self.closed:
            self.orders = [None]
        await self._wake()
        return self.incarnation

    async def order(self, incarnation: int, number: int) -> dict | str | None:
        """Order `number` of this incarnation, as soon as it is given; None: end."""
        async with self.changed:
            await self.changed.wait_for(lambda: incarnation != self.incarnation or number < len(self.orders))
        return self.orders[number] if incarnation == self.incarnation else None

    async def current(self, incarnation: int) -> bool:
        """Whether this incarnation may still write into the trial's folder."""
        return incarnation == self.incarnation

    async def answer(self, incarnation: int, answer: dict) -> bool:
        """What became of the order. False, and nothing said, if the group that did it has been replaced."""
        if incarnation != self.incarnation:
            return False
        self.unanswered = None
        self.events.append({"answer": answer})
        await self._wake()
        return True

    async def fail(self, reason: str, trial_fault: bool) -> None:
        """Workers failed. `trial_fault`: by what the trial raised, and would raise again."""
        self.events.append({"reason": reason, "trial_fault": trial_fault})
        await self._wake()

    async def _put(self, order: dict | str | None) -> None:
        self.orders.append(order)
        await self._wake()

    async def _wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()
