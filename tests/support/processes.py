"""Processes of this machine, found by what was put into their environment."""

from pathlib import Path


def processes_with(mark: str) -> list[str]:
    """The commands of all processes that have `mark` in their environment, as those do whom its owner started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue  # it has ended
    return found
