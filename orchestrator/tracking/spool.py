"""A durable local log of events, from which a thread (`sending.py`) sends them to a receiver.

A tracking server that is slow, restarts or is gone must neither delay a sweep nor lose a metric. So the sweep only
appends lines to local files (about 0.1 ms each), and the thread sends them whenever the receiver answers. The receiver
itself stores how far it has got, beside what it was sent. So a kill may cause an event to be sent twice, but never to
be lost, and a store that was deleted, or restored from an older copy, is sent what it lacks.

One folder per sweep holds
    <uid>.jsonl           the events of one run, one JSON object per line, in the order in which they happened
    sent-<store>.json     how far that store had got, or a little less: it is written after every so many answers
    rejected-<store>.log  the events that it refuses, each with its reason
    lock                  held by the one process that writes or sends
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from zlib import crc32

from orchestrator.errors import UserError
from orchestrator.storage.json_files import append_whole, write_whole
from trainables.common import files

PARENT = "sweep"  # the uid whose events are sent first: the runs of all others are children of its run
FILES = ".files"  # after a uid: its events with files, so that a failing artifact store delays no metrics
SHARE = 0.05  # of the runs that the store has: after so many further answers sent-<store>.json is written again
LINES = 200  # the most events that are read, and so acknowledged, at a time


class TrackingError(UserError):
    """A tracking address or folder that cannot be used."""


class SpoolInUse(TrackingError):
    """Another process records or sends the sweep."""


@dataclass(frozen=True)
class Line:
    """One line of a file: where it ends (bytes), its text, and its event, or None if it cannot be read."""

    end: int
    raw: bytes
    event: dict | None

    @property
    def text(self) -> str:
        return self.raw.decode(errors="replace").rstrip("\n")


@dataclass(frozen=True)
class Mark:
    """How far a file was sent: bytes, and their checksum. As text it is the receipt that a receiver stores."""

    end: int = 0
    checksum: int = 0

    def __str__(self) -> str:
        return f"{self.end}-{self.checksum:08x}"

    def after(self, lines: Iterable[Line]) -> "Mark":
        """The mark once these lines, the next ones of the file, are sent, too."""
        end, checksum = self.end, self.checksum
        for line in lines:
            end, checksum = line.end, crc32(line.raw, checksum)
        return Mark(end, checksum)


START = Mark()


class Spool:
    """The files of one sweep, and how far `store` (any string that names the receiver) has got with them.

    Raises TrackingError if the folder cannot be written, and SpoolInUse, which is one, if another process has it open.
    """

    def __init__(self, folder: Path, store: str):
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = open(folder / "lock", "w")  # noqa: SIM115 (open as long as the spool is)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpoolInUse(f"{folder}: another process is recording or sending this sweep; let it end") from None
        except OSError as error:
            raise TrackingError(f"{folder}: the tracking events cannot be written here: {error.strerror}") from None
        self._mutex = threading.Lock()  # the sweep appends, the sender acknowledges
        found = sorted(path.stem for path in folder.glob("*.jsonl"))
        self._size = {uid: self._repair(uid) for uid in sorted(found, key=lambda uid: uid != PARENT)}
        self._unsynced = set(found)
        key = hashlib.sha256(store.encode()).hexdigest()[:12]
        self._sent_file, self.rejected_file = folder / f"sent-{key}.json", folder / f"rejected-{key}.log"
        if (folder / "rejected.log").exists() and not self.rejected_file.exists():  # of an earlier version
            (folder / "rejected.log").replace(self.rejected_file)
        self._set_aside: set[tuple[str, str]] | None = None  # what rejected_file holds, once it is read
        self._sent = {uid: self._mark(uid, said) for uid, said in _object(self._sent_file).items()}
        self._answers = 0  # of the store since its file was written
        self._unsent = dict.fromkeys(filter(self._lacks, self._size))

    def _path(self, uid: str) -> Path:
        return self.folder / f"{uid}.jsonl"

    def _repair(self, uid: str) -> int:
        """Cut off a last line that a kill left half written; return the size in bytes."""
        data = self._path(uid).read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self._path(uid), whole)
        return whole

    def _mark(self, uid: str, receipt: str | None) -> Mark:
        """The mark of a receipt; START, so that all is sent again, if the receipt does not fit the file."""
        end, _, _ = str(receipt).partition("-")
        if not end.isdigit() or not 0 < int(end) <= self._size.get(uid, 0):
            return START
        with open(self._path(uid), "rb") as file:
            mark = Mark(int(end), crc32(file.read(int(end))))
        return mark if str(mark) == receipt else START

    def append(self, uid: str, event: dict) -> None:
        """Append one event to the file of `uid`: it then survives this process. Raises OSError (disk full)."""
        line = (json.dumps(event, separators=(",", ":")) + "\n").encode()
        with self._mutex:
            size = self._size.get(uid, 0)
            files.append(self._path(uid), line, settled=False)
            self._size[uid] = size + len(line)
            self._unsynced.add(uid)
            self._unsent[uid] = None

    def _lacks(self, uid: str) -> bool:
        """Whether the store has not acknowledged all events of a run."""
        return self._sent.get(uid, START).end < self._size.get(uid, 0)

    def settle(self) -> None:
        """Force new lines to the disk, so that they survive a loss of power. Slow: for the sending thread."""
        with self._mutex:
            unsynced = set(self._unsynced)
            self._unsynced -= unsynced
        for uid in unsynced:
            with open(self._path(uid), "rb") as file:
                os.fsync(file.fileno())

    def uids(self) -> list[str]:
        """All runs with events, the parent first."""
        with self._mutex:
            return sorted(self._size, key=lambda uid: uid != PARENT)

    def unsent_uids(self) -> list[str]:
        """The runs with events that the store has not acknowledged, the parent first."""
        with self._mutex:
            return sorted(self._unsent, key=lambda uid: uid != PARENT)

    def lines(self, uid: str) -> Iterator[Line]:
        """All events of a run, sent or not."""
        return self._lines(uid, 0)

    def mark(self, uid: str) -> Mark:
        """How far a run's events are acknowledged."""
        with self._mutex:
            return self._sent.get(uid, START)

    def unsent_lines(self, uid: str) -> list[Line]:
        """The next events of a run that the store has not acknowledged, LINES at most."""
        with self._mutex:
            start = self._sent.get(uid, START).end
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
                yield Line(end, raw, parsed(raw))

    def acknowledge(self, uid: str, mark: Mark) -> None:
        """Record that the store has all events of `uid` up to a mark; of no effect once closed."""
        with self._mutex:
            if not self._lock_file.closed:
                self._sent[uid] = mark
                if not self._lacks(uid):
                    self._unsent.pop(uid, None)
                self._answers += 1
                if self._answers > SHARE * len(self._sent):
                    self._write_sent()

    def believe(self, receipts: Mapping[str, str | None]) -> None:
        """Replace the marks by the store's own receipts; a run without one is sent from the start."""
        marks = {uid: self._mark(uid, receipt) for uid, receipt in receipts.items()}
        with self._mutex:
            if not self._lock_file.closed:
                self._sent = marks
                self._unsent = dict.fromkeys(filter(self._lacks, self._size))
                self._write_sent()

    def _write_sent(self) -> None:
        self._answers = 0
        with suppress(OSError):  # it only serves to count unsent events while the store does not answer
            write_whole(self._sent_file, json.dumps({uid: str(mark) for uid, mark in self._sent.items()}))

    def reject(self, uid: str, line: Line, reason: str) -> None:
        """Set aside an event that would otherwise block all that follow. Raises OSError."""
        if self._set_aside is None:
            self._set_aside = {(one["uid"], one["event"]) for one in self.rejected()}
        if (uid, line.text) not in self._set_aside:
            told = json.dumps({"uid": uid, "reason": reason, "event": line.text})
            append_whole(self.rejected_file, told)
            self._set_aside.add((uid, line.text))

    def rejected(self) -> list[dict[str, str]]:
        """The events that the store refused, as {"uid", "reason", "event" (its line)}."""
        texts = self.rejected_file.read_bytes().splitlines() if self.rejected_file.exists() else []
        found = [parsed(text) or {"event": text.decode(errors="replace")} for text in texts]
        return [{"uid": PARENT, "reason": "damaged", "event": ""} | one for one in found]

    def keep_rejected(self, events: list[dict[str, str]]) -> None:
        """Replace the list of events that the store refused. Raises OSError."""
        self._set_aside = None
        if events:
            write_whole(self.rejected_file, "".join(json.dumps(event) + "\n" for event in events))
        else:
            self.rejected_file.unlink(missing_ok=True)

    def unsent(self) -> int:
        """The number of events that the store has neither acknowledged nor rejected."""
        return sum(sum(1 for _ in self._lines(uid, self.mark(uid).end)) for uid in self.unsent_uids())

    def close(self) -> None:
        """Release the folder's lock. A request that is still running may end later, and changes nothing here."""
        with self._mutex:
            if self._answers and not self._lock_file.closed:
                self._write_sent()
            self._lock_file.close()


def parsed(raw: bytes | str) -> dict | None:
    """The event in a line; None if it holds none."""
    try:
        found = json.loads(raw)
    except ValueError:  # a damaged file, or bytes that are not UTF-8
        return None
    return found if isinstance(found, dict) else None


def _object(file: Path) -> dict:
    """The object in a JSON file; an empty one if the file is missing or damaged: then all is sent again."""
    try:
        return parsed(file.read_bytes()) or {}
    except OSError:
        return {}
