"""Reads many small files from a zip file, or from the folder it unpacks to, under the same names."""

from __future__ import annotations

import os
import threading
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trainables.common.errors import DataError
from trainables.data.base.bounds import FILE_BYTES, TooMuch, check_plain, check_unpacked, size_of, small_content
from trainables.data.formats.hidden import hidden
from trainables.data.formats.locate import CURE, sound


@dataclass(frozen=True)
class Archive:
    """`names` as in the zip file, "folder/file"; `content` reads one of them.

    `left` counts what is left out of `names`, by reason. `folders` are a folder's subfolders that are not hidden.
    """

    path: Path
    names: tuple[str, ...]
    content: Callable[[str], bytes]
    left: Counter[str] = field(default_factory=Counter)
    folders: tuple[str, ...] = ()

    def text(self, name: str) -> list[str]:
        """The lines of a file. Raises DataError where it is absent or not text."""
        if name not in self.names:
            raise DataError(f"{self.path}: no {name} in it: {CURE}.")
        with sound(self.path, name):
            return self.content(name).decode().splitlines()


def open_archive(path: Path) -> Archive:
    """Open a .zip file or a folder, without entries for folders and without hidden files. Raises DataError."""
    with sound(path):
        check_plain(path)
        return _folder(path) if path.is_dir() else _zip(path)


def _zip(path: Path) -> Archive:
    archive, alone = zipfile.ZipFile(path), threading.Lock()
    files = [name for name in archive.namelist() if not name.endswith("/")]
    names = [name for name in files if not hidden(name.split("/"))]
    left = Counter({"hidden": len(files) - len(names)})
    return Archive(path, tuple(sorted(names)), lambda name: _member(archive, name, alone), left)


def _member(archive: zipfile.ZipFile, name: str, alone: threading.Lock) -> bytes:
    """The content of a file. From Python 3.12 on `zipfile` mixes up what several threads read at once."""
    info = archive.getinfo(name)
    check_unpacked(info.compress_size, info.file_size)
    if info.file_size > FILE_BYTES:
        raise TooMuch(f"unpacks to {size_of(info.file_size)}, at most {size_of(FILE_BYTES)} expected: get another")
    with alone:
        return archive.read(name)


def _folder(path: Path) -> Archive:
    names: list[str] = []
    folders: list[str] = []
    left: Counter[str] = Counter()
    for place, inner, files in os.walk(path, onerror=_raise):
        steps = Path(place).relative_to(path).parts
        if not hidden(steps):
            folders.append("/".join(steps))
            left["linked folder"] += sum((Path(place) / name).is_symlink() and not hidden([name]) for name in inner)
        for name in files:
            reason = "hidden" if hidden([*steps, name]) else _why_left(Path(place) / name)
            left[reason] += 1
            if not reason:
                names.append("/".join([path.name, *steps, name]))
    del left[""]
    return Archive(path, tuple(sorted(names)), lambda name: small_content(path.parent / name), left, tuple(folders))


def _why_left(path: Path) -> str:
    """Why a path that is not a folder cannot be read as a file; empty where it can."""
    if path.is_file():
        return ""
    return "not a plain file" if path.exists() else "a broken link"


def _raise(error: OSError) -> None:
    raise error
