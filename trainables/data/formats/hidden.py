"""Recognises files that are not data: hidden files, and those that operating systems and programs create."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

LITTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "__pycache__"}


def hidden(steps: Iterable[str]) -> bool:
    """Whether any part of a path is such a file or folder."""
    return any(step.startswith(".") or step.lower() in LITTER for step in steps)


def kinds(names: Iterable[str]) -> str:
    """The number of files per suffix, the most frequent first: `10 .txt, 2 without suffix`."""
    counts = Counter(PurePosixPath(name).suffix.lower() or "without suffix" for name in names)
    return ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common())


def twins(names: Iterable[str]) -> list[str]:
    """The names that differ from another one only in case or in spaces at their ends."""
    names = list(dict.fromkeys(names))
    counts = Counter(map(_plain, names))
    return sorted((name for name in names if counts[_plain(name)] > 1), key=lambda name: (_plain(name), name))


def _plain(name: str) -> str:
    return name.strip().casefold()
