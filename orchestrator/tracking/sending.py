"""Sends the events of a spool to a receiver: on a thread of its own, or once in the calling thread.

Whatever fails, an event is sent later, or set aside where `sync` finds it. Only `close` ends the thread.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import Protocol

from orchestrator.tracking.spool import Line, Spool, parsed

TOGETHER = "epoch"  # the one kind of event that is sent many at a time
STATES = ("started", "ended")  # the kinds of event that set a run's state: the last one counts
PAUSE_S, LONGEST_PAUSE_S, CLOSING_PAUSE_S = 5.0, 15.0, 0.2  # the more epochs go at once, the less each costs
PATIENCE_S = 10.0  # how long the end of a sweep waits for a store that takes nothing
LOCAL_PATIENCE_S = 120.0  # for one that is only slow: importing MLflow, and a file, on a busy machine


class Unreachable(Exception):
    """The receiver does not answer: nothing can be sent now."""


class Changed(Exception):
    """The receiver has changed: another database, one from an older copy, a deleted run. Ask for its receipts again."""


class Refused(Exception):
    """The receiver answers, but does not take this event; `for_good` if that is the event's own fault."""

    def __init__(self, reason: str, for_good: bool):
        super().__init__(reason)
        self.for_good = for_good


class Receiver(Protocol):
    local: bool
    """Whether its silence is this machine's own: it is a file, or its libraries are still being imported."""

    def receipts(self) -> dict[str, str | None]:
        """The receipt of each run that is there; None if it has none. Raises Unreachable."""

    def send(self, uid: str, events: list[dict], before: str | None, after: str | None) -> None:
        """Deliver events of one kind to the run `uid`, which has the receipt `before`, and keep `after` in its place.

        Raises Unreachable, Changed, Refused.
        """


class Sender:
    """Sends a spool's events to a receiver: on a thread of its own (`start`), or once in the caller's (`flush`)."""

    def __init__(self, spool: Spool, receiver: Receiver):
        self.spool, self.receiver = spool, receiver
        self.trouble = ""  # why an event was not sent, the last time that one was not
        self._closing, self._abandoned = threading.Event(), threading.Event()
        self._receipts: dict[str, str | None] | None = None  # what the receiver has, once it has answered
        self._verified = False  # whether it was asked again at the end, to verify that it has all
        self._progress_s, self._patience_s = time.monotonic(), PATIENCE_S
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def flush(self, patience_s: float = PATIENCE_S) -> None:
        """Send all that can be sent in this thread, also what was set aside; give up if the receiver is silent."""
        self._progress_s, self._patience_s = time.monotonic(), patience_s
        self._closing.set()
        self._run()
        if self._receipts is not None:
            self._retry()

    def close(self, patience_s: float, longest_s: float) -> None:
        """Send the rest, then stop the thread.

        The thread is stopped anyway once nothing was sent for `patience_s` seconds, and after `longest_s` seconds. One
        whose silence is this machine's own is waited for longer, see LOCAL_PATIENCE_S.
        """
        self._progress_s = begun = time.monotonic()
        self._patience_s = patience_s
        self._closing.set()
        while self._thread.is_alive() and (now := time.monotonic()) - begun <= longest_s:
            slow = self.receiver.local and not self.trouble
            if now - self._progress_s >= (max(patience_s, LOCAL_PATIENCE_S) if slow else patience_s):
                break
            self._thread.join(0.02)
        self._abandoned.set()

    def _run(self) -> None:
        pause_s = PAUSE_S
        while not self._abandoned.is_set():
            closing, emptied = self._closing.is_set(), False
            try:
                emptied = self._round()
            except Unreachable as error:
                self._note(error)
                if closing:  # it was tried until now, and the events are safe on disk
                    return
            except Exception as error:  # noqa: BLE001 (a full disk, say: no error may end the thread)
                self._note(error)
            if closing and (emptied or time.monotonic() - self._progress_s > self._patience_s):
                return
            pause_s = PAUSE_S if emptied else min(2 * pause_s, LONGEST_PAUSE_S)
            self._rest(pause_s)

    def _rest(self, pause_s: float) -> None:
        if self._closing.is_set():
            self._abandoned.wait(CLOSING_PAUSE_S)
        else:
            self._closing.wait(pause_s)

    def _note(self, error: Exception) -> None:
        if not self._abandoned.is_set():
            self.trouble = str(error) or type(error).__name__

    def _round(self) -> bool:
        """Send all events that are there; True unless some must be sent again later. Raises Unreachable."""
        with suppress(OSError):  # unsynced lines can be sent, too; only a loss of power would lose them
            self.spool.settle()
        if self._receipts is None:
            self._ask()
        emptied = True
        for uid in self.spool.unsent_uids():  # a failure of one run does not delay the others
            emptied = self._drain(uid) and emptied
        if emptied and self._closing.is_set() and not self._verified:
            self._verified = True
            self._ask()
            return not self.spool.unsent()
        return emptied

    def _ask(self) -> None:
        self._receipts = None
        receipts = self.receiver.receipts()
        self.spool.believe(receipts)
        self._receipts, self._progress_s = receipts, time.monotonic()

    def _drain(self, uid: str) -> bool:
        try:
            while lines := self.spool.unsent_lines(uid):
                if not all(self._deliver(uid, group) for group in _groups(lines)):
                    return False
            return True
        except (Unreachable, Changed):
            self._receipts = None  # ask for them again, once it answers
            raise
        except Exception as error:  # noqa: BLE001 (as above)
            self._note(error)
            return False

    def _deliver(self, uid: str, lines: list[Line]) -> bool:
        """Send lines of one kind; False if they must be sent again later."""
        if self._abandoned.is_set():
            raise Unreachable("closed")
        after = self.spool.mark(uid).after(lines)
        try:
            self._send(uid, lines, str(after))
        except Refused as refusal:
            if not refusal.for_good:
                self._note(refusal)
                return False
            if len(lines) > 1:  # find the refused event: only that is set aside
                return all(self._deliver(uid, [line]) for line in lines)
            self.spool.reject(uid, lines[0], str(refusal))
        self.spool.acknowledge(uid, after)
        self._progress_s = time.monotonic()
        return True

    def _send(self, uid: str, lines: list[Line], after: str) -> None:
        events = [line.event for line in lines if line.event is not None]
        if not events:
            raise Refused("not a line of JSON", for_good=True)
        self.receiver.send(uid, events, self._receipts.get(uid), after)
        self._receipts[uid] = after

    def _retry(self) -> None:
        """Send the events that were set aside again, and then each run's last state, so that it ends as it did."""
        left, taken = [], set()
        for one in self.spool.rejected():
            if reason := self._refusal(one["uid"], one["event"]):
                left.append({**one, "reason": reason})
            else:
                taken.add(one["uid"])
        for uid in taken & set(self.spool.uids()):
            states = [line for line in self.spool.lines(uid) if line.event and line.event.get("kind") in STATES]
            if states:
                self._refusal(uid, states[-1].text)
        self.spool.keep_rejected(left)

    def _refusal(self, uid: str, text: str) -> str:
        """Send an event once more; the reason if it is refused again, else empty."""
        event, receipt = parsed(text), self._receipts.get(uid)
        if event is None:
            return "not a line of JSON"
        try:
            self.receiver.send(uid, [event], receipt, receipt)
        except Exception as error:  # noqa: BLE001 (it stays set aside)
            return str(error) or type(error).__name__
        return ""


def _groups(lines: list[Line]) -> Iterator[list[Line]]:
    """Groups of neighbouring lines of the kind TOGETHER; every other line is a group of its own."""
    for together, neighbours in groupby(lines, lambda line: (line.event or {}).get("kind") == TOGETHER):
        group = list(neighbours)
        yield from [group] if together else [[line] for line in group]
