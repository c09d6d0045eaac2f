"""The journal of a sweep: one line of JSON per event, on the disk before anybody acts on it. It is only added to.

It says all that a sweep decided; `progress.Progress` plays it again. `resume` needs nothing else but the spec and the
trials' own folders. Numbers that are not finite are written as Python writes them, so that they come back as they were.
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

START = rb'(?<=.)(?=\{"event":)'  # of a line behind another
EPOCH = re.compile(rb'\{"event":"epoch","trial":"(\w+)","epoch":(\d+),')


class JournalError(UserError):
    """A journal that cannot be played again."""


class Journal:
    """The file OUT/NAME/journal.jsonl: what is in it already, and how to add to it.

    `events` are those of earlier processes. A last line that a kill left half written is dropped: nobody had acted on
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
        """Add an event; it outlives this process, and a loss of power, from here on. Raises OSError (disk full)."""
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
    """The event of a line; several, where an earlier version wrote behind a line that a full disk had cut short.

    None if one of them is lost.
    """
    found = parsed(line)
    if isinstance(found, dict) and isinstance(found.get("event"), str):
        return [found]
    *halves, last = re.split(START, line) if found is None else [b""]
    before, after = [restored(folder, half) for half in halves], events_of(folder, last) if halves else []
    return [*before, *after] if all(before) and after else []


def restored(folder: Path, half: bytes) -> dict | None:
    """The event that a half-written line began to tell of. Of an epoch, the trial's own folder holds the rest.

    What was decided upon it, `Progress` decides again.
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
