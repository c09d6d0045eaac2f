"""The journal of a sweep: one line of JSON per event, on the disk before anybody acts on it. It is only added to.

It says all that a sweep decided; `progress.Progress` plays it again. `resume` needs nothing else but the spec and the
trials' own folders. Numbers that are not finite are written as Python writes them, so that they come back as they were.
"""

import json
import os
from pathlib import Path

from orchestrator.errors import UserError

NAME = "journal.jsonl"


class JournalError(UserError):
    """A journal that cannot be played again."""


class Journal:
    """The file OUT/NAME/journal.jsonl: what is in it already, and how to add to it.

    `events` are those of earlier processes. A last line that a kill left half written is dropped: nobody had acted on
    it. Only the process that has the sweep's lock may make a Journal. Raises JournalError for a damaged line.
    """

    def __init__(self, folder: Path):
        self.path = folder / NAME
        self.events: list[dict] = []
        data = self.path.read_bytes() if self.path.exists() else b""
        lines = data.splitlines(keepends=True)
        whole = 0
        for number, line in enumerate(lines, start=1):
            event = parsed(line)
            if event is None and number < len(lines):
                raise JournalError(f"{self.path}:{number}: is damaged. The lines above it are sound: cut it off there.")
            if event is not None:
                self.events.append(event)
                whole += len(line)
        if whole < len(data):
            os.truncate(self.path, whole)

    def append(self, event: dict) -> None:
        """Add an event; it outlives this process, and a loss of power, from here on. Raises OSError (disk full)."""
        with self.path.open("ab", buffering=0) as file:
            file.write((json.dumps(event, separators=(",", ":")) + "\n").encode())
            os.fsync(file.fileno())


def parsed(line: bytes) -> dict | None:
    """The event in a line; None if the line is not whole."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
