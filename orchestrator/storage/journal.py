"""The journal of a sweep: an append-only file, one line of JSON per event, on the disk before anything acts on it.

It holds all that a sweep decided; `sweep/state.py` replays it. Besides it, `resume` needs only the spec and the trials'
own folders. Numbers that are not finite are written as Python writes them, so that they are read back unchanged.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole
from orchestrator.storage.metric_lines import from_json, metrics_of
from trainables.common import files

START = rb'(?<=.)(?=\{"event":)'  # of a second event within one line
OF_AN_EPOCH = b'{"event":"epoch",'  # how most lines begin
EPOCH = re.compile(rb'\{"event":"epoch","trial":"(\w+)","epoch":(\d+),')


class JournalError(UserError):
    """A journal that cannot be replayed."""


class Journal:
    """The file OUT/NAME/journal.jsonl: reads what is in it, and appends to it.

    `events` are those of earlier processes. A last line that a kill left half written is dropped: nothing had acted on
    it. Only the process that has the sweep's lock may make a Journal. Raises JournalError for a damaged line.
    """

    def __init__(self, folder: Path):
        self.path = folder / layout.JOURNAL
        self.events: list[dict] = []
        data = self.path.read_bytes() if self.path.exists() else b""
        lines = data.splitlines(keepends=True)
        whole = 0
        for number, line in enumerate(lines, start=1):
            events = events_of(folder, line)
            if not events and (number < len(lines) or parsed(line) is not None):
                raise JournalError(f"{self.path}:{number}: is damaged. The lines above it are sound: cut it off there.")
            self.events += events
            whole += len(line) if events else 0
        if whole < len(data):
            os.truncate(self.path, whole)
        if len(self.events) > data[:whole].count(b"\n"):
            write_whole(self.path, "".join(map(written, self.events)))

    def append(self, event: dict) -> None:
        """Append an event. It then survives the end of this process and a loss of power. Raises OSError (disk full)."""
        files.append(self.path, written(event).encode())


def written(event: dict) -> str:
    return json.dumps(event, separators=(",", ":")) + "\n"


def parsed(line: bytes) -> Any:
    """What a line holds; None if the line is not whole."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None


def events_of(folder: Path, line: bytes) -> list[dict]:
    """The event of a line; several, where an earlier version appended to a line that a full disk had cut short.

    An empty list if one of them is lost.
    """
    found = parsed(line)
    if isinstance(found, dict) and isinstance(found.get("event"), str):
        return [found]
    *halves, last = re.split(START, line) if found is None else [b""]
    before, after = [restored(folder, half) for half in halves], events_of(folder, last) if halves else []
    return [*before, *after] if all(before) and after else []


def restored(folder: Path, half: bytes) -> dict | None:
    """The event whose half-written line this is; None if it is lost. Of an epoch, the trial's folder holds the rest.

    The scheduler's answer is not restored: `SweepState` decides it again.
    """
    if not (epoch := EPOCH.match(half)):
        return None
    trial, number = epoch[1].decode(), int(epoch[2])
    try:
        lines = (folder / layout.TRIALS / trial / layout.METRICS).read_text(encoding="utf-8").splitlines()
        line = from_json(lines[number - 1])
    except (OSError, LookupError, ValueError):
        return None
    return {"event": "epoch", "trial": trial, "epoch": number, "metrics": metrics_of(line), "seconds": line["seconds"]}
