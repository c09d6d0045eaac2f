"""Holds a sweep's folder still for a snapshot: links to its files, as they are at one moment while trials go on.

Files that are replaced by a rename never change, so that a link to one keeps it. Others only grow: of these the length
counts. `snapshots.py` uploads what is held, and says when that moment is.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from orchestrator.storage import layout

LEFT_OUT = (layout.DRIVER_LOCK, layout.SLOTS_LOCK, layout.HEADS, layout.WITHIN_EPOCH)
GROWING = (".jsonl", ".log", ".txt")  # suffixes of files that lines are appended to
OF_A_STORE = "sent-"  # how far MLflow's store is: it knows that itself
CHECKPOINTS = (layout.CHECKPOINT, layout.PREVIOUS_CHECKPOINT)  # where the one is missing just now, the other is there
FIRST = (*(f"{name}{end}" for name in CHECKPOINTS for end in ("", layout.BLOB)), layout.METRICS)


class Stamp(NamedTuple):
    """Tells a file from the one that replaces it, and from itself once it has grown."""

    inode: int
    changed: int
    bytes: int


def freeze(folder: Path, links: Path, known: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """The files of a sweep's folder by their path in it, with links in `links` to those that are not `known`.

    Of a trial they come in the opposite of the order in which a node's are written, the checkpoint first: so nothing
    that is held is older than what was written after it. Raises OSError.
    """
    found: dict[str, Stamp] = {}
    for name in _names(folder):
        with suppress(FileNotFoundError):  # it was replaced, or renamed, just now
            if (stamp := _stamp(folder / name)) != known.get(name):
                link = links / name
                link.parent.mkdir(parents=True, exist_ok=True)
                os.link(folder / name, link)
                stamp = _stamp(link)
            found[name] = stamp
    return found


def grown_part(link: Path, stamp: Stamp) -> bytes | None:
    """What a file that grows held at that moment; None for a file that never changes. Raises OSError."""
    if link.suffix not in GROWING:
        return None
    with link.open("rb") as file:
        return file.read(stamp.bytes)


def _stamp(file: Path) -> Stamp:
    status = file.stat()
    return Stamp(status.st_ino, status.st_mtime_ns, status.st_size)


def _names(folder: Path, below: str = "") -> Iterator[str]:
    """The paths of files below a folder, each looked for when it is asked for. Some may not be there."""
    first = FIRST if Path(below).parent == Path(layout.TRIALS) else ()
    yield from (f"{below}/{name}" for name in first)
    with suppress(FileNotFoundError), os.scandir(folder / below) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir() and not entry.name.startswith("."):
                yield from _names(folder, name)
            elif entry.is_file() and not _left_out(entry.name) and entry.name not in first:
                yield name


def _left_out(name: str) -> bool:
    return name in LEFT_OUT or name.startswith((".", OF_A_STORE)) or name.endswith(layout.DAMAGED)
