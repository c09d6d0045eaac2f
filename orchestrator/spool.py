"""A durable local log of events, and the thread that carries them to a receiver.

A tracking server that is slow, restarts or is gone must neither hold up a sweep nor cost it a metric. So the sweep only
appends lines to local files (about 0.1 ms each), and a thread sends them whenever the receiver answers. What has been
acknowledged is written down after the receiver's answer: a kill in between sends an event twice, never not at all.

One folder per sweep holds
    <uid>.jsonl        the events of one run, one JSON object per line, in the order in which they happened
    sent-<store>.json  how many bytes of each file that store has acknowledged
    rejected.log       the events that a store will never take, each with its reason
    lock               held by the one process that writes or sends
"""

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Protocol

from orchestrator.errors import UserError
from orchestrator.files import append_whole, write_whole
from trainables import durable

PARENT = "sweep"  # the uid whose events go first: the runs of all others hang below its run
TOGETHER = "epoch"  # the one kind of event that is sent many at a time
LINES = 200  # events read, and so acknowledged, at a time
TRIES = 5  # times that an event is refused, while others pass, before it is set aside
PAUSE_S, LONGEST_PAUSE_S, CLOSING_PAUSE_S = 1.0, 15.0, 0.2


class TrackingError(UserError):
    """A tracking address or folder that cannot be used."""


class Unreachable(Exception):
    """The receiver does not answer: nothing can be sent now."""


class Refused(Exception):
    """The receiver answers, but not to this event; `for_good` if trying again is of no use."""

    def __init__(self, reason: str, for_good: bool):
        super().__init__(reason)
        self.for_good = for_good


class Receiver(Protocol):
    def send(self, uid: str, events: list[dict]) -> None:
        """Deliver events of one kind to the run `uid`. Raises Unreachable, Refused."""


@dataclass(frozen=True)
class Line:
    """One line of a file: where it ends (bytes), its text, and its event, or None if it cannot be read."""

    end: int
    text: str
    event: dict | None


class Spool:
    """The files of one sweep, and how far `store` (any string that names the receiver) has acknowledged them.

    Raises TrackingError if the folder cannot be written or another process has it open.
    """

    def __init__(self, folder: Path, store: str):
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = open(folder / "lock", "w")  # noqa: SIM115 (open as long as the spool is)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrackingError(f"{folder}: another process is recording or sending this sweep; let it end") from None
        except OSError as error:
            raise TrackingError(f"{folder}: the tracking events cannot be written here: {error.strerror}") from None
        self._mutex = threading.Lock()  # the sweep appends, the sender acknowledges
        self._sent_file = folder / f"sent-{hashlib.sha256(store.encode()).hexdigest()[:12]}.json"
        self._sent = json.loads(self._sent_file.read_text()) if self._sent_file.exists() else {}
        found = sorted(path.stem for path in folder.glob("*.jsonl"))
        self._size = {uid: self._repair(uid) for uid in sorted(found, key=lambda uid: uid != PARENT)}
        self._unsynced = set(found)

    def _path(self, uid: str) -> Path:
        return self.folder / f"{uid}.jsonl"

    def _repair(self, uid: str) -> int:
        """Cut off a last line that a kill left half written; return the size in bytes."""
        data = self._path(uid).read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self._path(uid), whole)
        return whole

    def append(self, uid: str, event: dict) -> None:
        """Add one event to the file of `uid`; it outlives this process from here on. Raises OSError (disk full)."""
        line = (json.dumps(event, separators=(",", ":")) + "\n").encode()
        with self._mutex:
            size = self._size.get(uid, 0)
            durable.append(self._path(uid), line, settled=False)
            self._size[uid] = size + len(line)
            self._unsynced.add(uid)

    def settle(self) -> None:
        """Force new lines to the disk, so that they outlive a loss of power. Slow: for the sending thread."""
        with self._mutex:
            unsynced, self._unsynced = self._unsynced, set()
        for uid in unsynced:
            with open(self._path(uid), "rb") as file:
                os.fsync(file.fileno())

    def uids(self) -> list[str]:
        """All runs with events, the parent first."""
        with self._mutex:
            return sorted(self._size, key=lambda uid: uid != PARENT)

    def lines(self, uid: str) -> Iterator[Line]:
        """All events of a run, sent or not."""
        return self._lines(uid, 0)

    def unsent_lines(self, uid: str) -> list[Line]:
        """The next events of a run that the store has not acknowledged, LINES at most."""
        with self._mutex:
            start = self._sent.get(uid, 0)
            if start >= self._size[uid]:
                return []
        return list(islice(self._lines(uid, start), LINES))

    def _lines(self, uid: str, start: int) -> Iterator[Line]:
        end = start
        with open(self._path(uid), "rb") as file:
            file.seek(start)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return
                end += len(raw)
                yield Line(end, raw.decode(errors="replace"), _parsed(raw))

    def acknowledge(self, uid: str, end: int) -> None:
        """Note that the store has all events of `uid` up to byte `end`; of no effect once closed."""
        with self._mutex:
            if not self._lock_file.closed:
                self._sent[uid] = end
                write_whole(self._sent_file, json.dumps(self._sent))

    def reject(self, uid: str, line: Line, reason: str) -> None:
        """Set aside an event that would otherwise hold up all that follow."""
        told = json.dumps({"uid": uid, "reason": reason, "event": line.text.rstrip("\n")})
        append_whole(self.folder / "rejected.log", told)

    def rejected(self) -> int:
        """The number of events set aside so far."""
        path = self.folder / "rejected.log"
        return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0

    def unsent(self) -> int:
        """The number of events that the store has neither acknowledged nor rejected."""
        return sum(sum(1 for _ in self._lines(uid, self._sent.get(uid, 0))) for uid in self.uids())

    def close(self) -> None:
        """Let go of the folder. A request that is still under way may end later, and changes nothing here."""
        with self._mutex:
            self._lock_file.close()


def _parsed(raw: bytes) -> dict | None:
    try:
        return json.loads(raw)
    except ValueError:  # a damaged file, or bytes that are not UTF-8
        return None


class Sender:
    """Empties a spool into a receiver: on a thread of its own (`start`), or once and at once (`flush`)."""

    def __init__(self, spool: Spool, receiver: Receiver):
        self.spool, self.receiver = spool, receiver
        self._closing, self._abandoned = threading.Event(), threading.Event()
        self._strikes: dict[str, int] = {}
        self._progress_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def flush(self) -> None:
        """Send all that can be sent, here and now; give up as soon as the receiver does not answer."""
        self._closing.set()
        self._run()

    def close(self, patience_s: float, longest_s: float) -> None:
        """Send the rest, then stop the thread.

        It is stopped anyway once nothing has got through for `patience_s` seconds, and after `longest_s` seconds.
        """
        self._progress_s = begun = time.monotonic()
        self._closing.set()
        while self._thread.is_alive() and (now := time.monotonic()) - self._progress_s < patience_s:
            if now - begun > longest_s:
                break
            self._thread.join(0.02)
        self._abandoned.set()

    def _run(self) -> None:
        pause_s = PAUSE_S
        while not self._abandoned.is_set():
            closing = self._closing.is_set()
            try:
                emptied = self._round()
            except Unreachable:
                if closing:  # it has been tried all along, and the events are safe on disk
                    return
                emptied = False
            if closing and emptied:
                return
            pause_s = PAUSE_S if emptied else min(2 * pause_s, LONGEST_PAUSE_S)
            self._rest(pause_s)

    def _rest(self, pause_s: float) -> None:
        if self._closing.is_set():
            self._abandoned.wait(CLOSING_PAUSE_S)
        else:
            self._closing.wait(pause_s)

    def _round(self) -> bool:
        """Send what is there; True if nothing was refused. Raises Unreachable."""
        self.spool.settle()
        emptied = [self._drain(uid) for uid in self.spool.uids()]  # one run's trouble does not hold up the others
        return all(emptied)

    def _drain(self, uid: str) -> bool:
        while lines := self.spool.unsent_lines(uid):
            if not all(self._deliver(uid, group) for group in _groups(lines)):
                return False
        return True

    def _deliver(self, uid: str, lines: list[Line]) -> bool:
        """Send lines of one kind; False if they are to be tried again later."""
        if self._abandoned.is_set():
            raise Unreachable("closed")
        try:
            self._send(uid, lines)
        except Refused as refusal:
            if not refusal.for_good and self._passing(uid):
                return False
            if len(lines) > 1:  # only the culprit is to be set aside
                return all(self._deliver(uid, [line]) for line in lines)
            self.spool.reject(uid, lines[0], str(refusal))
        self._strikes.pop(uid, None)
        self.spool.acknowledge(uid, lines[-1].end)
        self._progress_s = time.monotonic()
        return True

    def _send(self, uid: str, lines: list[Line]) -> None:
        events = [line.event for line in lines if line.event is not None]
        if not events:
            raise Refused("not a line of JSON", for_good=True)
        self.receiver.send(uid, events)

    def _passing(self, uid: str) -> bool:
        """Count a refusal; True while it may still be a passing one (an overloaded server)."""
        self._strikes[uid] = self._strikes.get(uid, 0) + 1
        return self._strikes[uid] < TRIES


def _groups(lines: list[Line]) -> Iterator[list[Line]]:
    """Neighbouring lines of the kind TOGETHER as one group, all others alone."""
    for together, neighbours in groupby(lines, lambda line: line.event is not None and line.event["kind"] == TOGETHER):
        group = list(neighbours)
        yield from [group] if together else [[line] for line in group]
