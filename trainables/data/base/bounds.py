"""Limits on the memory that a file may need: checked from its header, before anything is allocated."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from trainables.common.errors import Unfit

MIB, GIB = 1 << 20, 1 << 30
SMALL_BYTES = 64 * MIB  # unpacked sizes up to this are allowed at any compression ratio
MOST_RATIO = 500  # of unpacked to packed bytes: dSprites, black and white, has 116; deflate makes 1,030 of zeros
FILE_BYTES = 512 * MIB  # of a picture or a text, which are read whole
MEMORY = Path("/proc/meminfo")
GROUP = Path("/sys/fs/cgroup")  # the control group of a container


class TooMuch(Unfit):
    """A file that would need too much memory or may never end; the text says how to fix it."""


def check_plain(path: Path) -> None:
    """Raises TooMuch unless the path is a file or a folder: a device or FIFO may never end. Opens nothing."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise TooMuch("is a device, a FIFO or a socket and no file: name a plain file")


def check_unpacked(packed: int, unpacked: int) -> None:
    """Raises TooMuch where the compression ratio is too high for real data."""
    if unpacked > SMALL_BYTES and unpacked > MOST_RATIO * packed:
        sizes = f"{packed:,} bytes that unpack to {size_of(unpacked)}"
        raise TooMuch(f"{sizes}, over {MOST_RATIO} times as much: if they are meant so, write them uncompressed")


def check_memory(needed: int) -> None:
    """Raises TooMuch where more bytes are needed than the memory available to this process."""
    have = available_bytes() if needed > SMALL_BYTES else None
    if have is not None and needed > have:
        sizes = f"takes {size_of(needed)} of memory, {size_of(have)} are available"
        raise TooMuch(f"{sizes}: free some, or take fewer rows")


def small_content(path: Path) -> bytes:
    """The bytes of a file that is read whole. Raises TooMuch and OSError."""
    check_plain(path)
    size = path.stat().st_size
    if size > FILE_BYTES:
        raise TooMuch(f"has {size_of(size)}, at most {size_of(FILE_BYTES)} expected: name another file")
    return path.read_bytes()


def size_of(count: int) -> str:
    """A number of bytes as text."""
    return f"{count / GIB:,.1f} GiB" if count >= GIB else f"{count / MIB:,.1f} MiB"


def available_bytes() -> int | None:
    """The memory and swap available to this process; None where the system does not say."""
    return min(filter(None, (_of_machine(), _of_group())), default=None)


def _of_machine() -> int | None:
    try:
        found = dict(re.findall(r"^(\w+): +(\d+) kB$", MEMORY.read_text(), re.MULTILINE))
        return (int(found["MemAvailable"]) + int(found["SwapFree"])) * 1024
    except (OSError, KeyError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _of_group() -> int | None:
    """This container's limit minus its processes' memory; the page cache does not count, as it can be freed."""
    try:
        limit = int((GROUP / "memory.max").read_text())
        taken = re.search(r"^anon (\d+)$", (GROUP / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # no control group, or no limit ("max")
        return None
    return max(limit - int(taken[1]), 1) if taken else limit
