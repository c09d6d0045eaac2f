"""Many small files in one zip file, or in the folder that it unpacks to: the same names either way."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainables.data.base import DataError
from trainables.data.places import CURE, sound


@dataclass(frozen=True)
class Archive:
    """`names` as in the zip file, "folder/file"; `content` reads one of them."""

    path: Path
    names: tuple[str, ...]
    content: Callable[[str], bytes]

    def text(self, name: str) -> list[str]:
        """The lines of a file. Raises DataError where it is absent or no text."""
        if name not in self.names:
            raise DataError(f"{self.path}: no {name} in it: {CURE}.")
        with sound(self.path, name):
            return self.content(name).decode().splitlines()


def open_archive(path: Path) -> Archive:
    """A .zip file or a folder. Raises DataError. Folders themselves and hidden files are left out."""
    with sound(path):
        return _folder(path) if path.is_dir() else _zip(path)


def _zip(path: Path) -> Archive:
    archive = zipfile.ZipFile(path)
    names = (name for name in archive.namelist() if not name.endswith("/"))
    return Archive(path, tuple(sorted(name for name in names if _shown(name))), archive.read)


def _folder(path: Path) -> Archive:
    files = (file.relative_to(path.parent).as_posix() for file in path.rglob("*") if file.is_file())
    return Archive(path, tuple(sorted(filter(_shown, files))), lambda name: (path.parent / name).read_bytes())


def _shown(name: str) -> bool:
    return not name.startswith("__MACOSX/") and not name.rpartition("/")[2].startswith(".")
