"""Decides which trials train together in a slot. It uses no Ray.

A trial has a place in a slot until it pauses or ends; then another takes it. The trials of a slot are of one kind, see
`space/stackable.py`. Trials that failed together go on alone, where each one's own failures count.
"""

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.schedulers.base import CONTINUE, STOP
from orchestrator.space.stackable import kind_of
from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole
from orchestrator.sweep.ranking import STOPPED
from orchestrator.sweep.state import MEMORY, NODE, SLOT
from orchestrator.sweep.trial_queue import TrialQueue

AUTO_MOST = 64  # trials that `auto` puts into a slot
RETRIES = {SLOT: 1, MEMORY: 3, NODE: math.inf}  # by what failed; of a trial that is alone in its slot


class SharedSlots:
    """The trials in each slot, by the slot's number from 0, and those that wait.

    Args:
        queue: of the sweep; its state records all that is decided here.
        slots: how many there are.
        most: trials in a slot.
    """

    def __init__(self, queue: TrialQueue, slots: int, most: int):
        self.queue, self.state, self.most = queue, queue.state, most
        self.members: list[list[str]] = [[] for _ in range(slots)]
        self.waiting: deque[str] = deque(name for name in self.state.standing if queue.broken(name))
        left = [number for number in queue.left() if self.state.names.get(number) not in self.state.standing]
        waits = {number for number in left if queue.confirms(number) and self.state.confirming is None}
        self.new = deque(number for number in left if number not in waits)
        self.later = deque(number for number in left if number in waits)  # they start once all others have ended
        self.entered: set[str] = set()  # those that have been given a place, and do not train there yet
        self.alone: set[str] = set()  # trials that share no slot any more
        self.kinds: dict[str, str] = {}  # trial -> its kind
        self.over = False  # no trial is left

    def fill(self, slot: int) -> list[dict[str, Any]]:
        """The configs of the trials that train in a slot from now on: those that stayed, and new ones."""
        members = self.members[slot]
        while not members or len(members) < self._room(members):
            if (name := self._next(members)) is None:
                break
            members.append(name)
            self.entered.add(name)
        return [self._config(name) for name in members]

    def begin(self, slot: int, resumed: Callable[[str], None]) -> None:
        """The trials of a slot are being trained; `resumed` is called for each new one that began before."""
        for name in [name for name in self.members[slot] if name in self.entered]:
            self.entered.remove(name)
            if not self.state.begin(name):
                resumed(name)

    def decided(self, slot: int) -> bool:
        """Whether it is known if the trials of a slot are trained together."""
        members = self.members[slot]
        return len(members) < 2 or self._kind(members[0]) in self.state.stacking

    def refuse(self, slot: int, why: str) -> None:
        """The trials of a slot cannot be trained together, nor others of their kind: all but the first wait again."""
        first, *others = self.members[slot]
        self.state.begin(first)
        self._decide(first, stacked=False, why=why)
        self.waiting.extendleft(reversed(others))
        self.members[slot] = [first]

    def accept(self, slot: int, **measured: Any) -> None:
        """The trials of a slot, which have begun, are trained together, and so are others of their kind."""
        self._decide(self.members[slot][0], stacked=True, **measured)

    def report(self, slot: int, results: list[dict[str, Any]]) -> bool:
        """Take in an epoch of each trial of a slot. Returns whether the same trials go on there."""
        before = len(self.members[slot])
        for result in results:
            if not self._goes_on(result):
                self.members[slot].remove(result["id"])
        members = self.members[slot]
        return (
            bool(members)
            and len(members) == before
            and (self._room(members) <= before or not self._others_fit(members))
        )

    def failed(self, slot: int, part: str, text: str, reason: str) -> None:
        """The process of a slot failed: its MEMORY or its NODE, or what is in the SLOT. `text` says how.

        Of several trials none is to blame. One that was alone is tried again, or has failed for that `reason`.
        """
        members, self.members[slot] = self.members[slot], []
        if len(members) > 1:
            self.alone |= set(members) if part != NODE else set()
            self.waiting.extendleft(reversed(members))
        for name in members if len(members) == 1 else ():
            self.alone.add(name)
            self.state.begin(name)
            if self.state.retries[name, part] < RETRIES[part]:
                self.state.retry(name, part)
                self.waiting.appendleft(name)
            else:
                self._fail(name, text, reason)

    def close(self) -> bool:
        """No trial has a slot: the paused ones are stopped, but those that start now. Whether there are such."""
        if self.state.budget.empty:
            self.later.clear()
        for name in list(self.state.standing):
            self.state.end(name, STOPPED, self.state.reason(name))
        self.new, self.later = self.later, deque()
        self.over = not self.new
        return not self.over

    def _decide(self, name: str, stacked: bool, **why: Any) -> None:
        """Record what holds for trials like this one; later ones may be found that stack less well than the first."""
        known = self.state.stacking.get(self._kind(name))
        worse = known and (known["stacked"], known.get("equal")) > (stacked, why.get("equal"))
        if known is None or worse:
            self.state.decide_stacking(self._kind(name), like=name, stacked=stacked, **why)

    def _room(self, members: list[str]) -> int:
        """How many trials a slot with these may have: no more than leave work for the other slots."""
        decision = self.state.stacking.get(self._kind(members[0]), {"stacked": True})
        if members[0] in self.alone or not decision["stacked"]:
            return 1
        known = len(self.waiting) + len(self.new) + sum(map(len, self.members))
        return min(self.most, math.ceil(known / len(self.members)))

    def _next(self, members: list[str]) -> str | None:
        """A trial for a slot with these members: one that waits, else one that goes on or is new."""
        if found := next((name for name in self.waiting if self._fit(members, name)), None):
            self.waiting.remove(found)
            return found
        while not self._full() and (name := self._found()):
            if self._fit(members, name):
                return name
            self.waiting.append(name)
        return None

    def _others_fit(self, members: list[str]) -> bool:
        """Whether a trial that waits or is new may join these; what is yet to be drawn may."""
        known = [*self.waiting] if self._full() else [*self.waiting, *map(self.state.names.get, self.new)]
        return any(name is None or self._fit(members, name) for name in known)

    def _full(self) -> bool:
        """Whether so many wait that no further one is looked for."""
        return len(self.waiting) >= self.most * len(self.members)

    def _fit(self, members: list[str], name: str) -> bool:
        return not members or (name not in self.alone and self._kind(name) == self._kind(members[0]))

    def _found(self) -> str | None:
        """A promoted trial, a new one, or, when no other is left, one that goes on as the search closes."""
        if (number := self.state.next()) is not None:
            return self.state.names[number]
        while self.new and not self.state.budget.empty:
            if config := self.queue.enter(self.new.popleft()):
                return config["id"]
            if (number := self.state.next()) is not None:  # a trial that needed no slot has caused a promotion
                return self.state.names[number]
        if self.new or self.waiting or not self._all_began():
            return None
        number = self.state.close()
        return None if number is None else self.state.names[number]

    def _all_began(self) -> bool:
        """Whether every trial with a slot has begun there: the scheduler knows of those only."""
        return all(name in self.state.results_file.entries for members in self.members for name in members)

    def _goes_on(self, result: dict[str, Any]) -> bool:
        """Whether the trial keeps its place after this result."""
        name = result["id"]
        if result["diverged"] is not None:
            self.state.end(name, "diverged", result["diverged"])
            return False
        decision = self.state.report(name, result["epoch"], result["metrics"], result["seconds"])
        if result["finished"]:
            self.state.end(name, "completed", None)
        elif decision == STOP:
            self.state.end(name, STOPPED, self.state.reason(name))
        return not result["finished"] and decision == CONTINUE

    def _fail(self, name: str, text: str, reason: str) -> None:
        folder = Path(self._trial(name)["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / layout.ERROR, text)
        self.state.end(name, "failed", reason)

    def _trial(self, name: str) -> dict[str, Any]:
        return self.state.results_file.trials[name]

    def _config(self, name: str) -> dict[str, Any]:
        return self._trial(name) | {"kind": self._kind(name)}

    def _kind(self, name: str) -> str:
        if name not in self.kinds:
            self.kinds[name] = kind_of(self._trial(name)["run"])
        return self.kinds[name]
