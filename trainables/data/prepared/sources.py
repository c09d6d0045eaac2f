"""The files that a prepared set was made from: their checksums, and whether they have changed since."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainables.common.errors import DataError
from trainables.data.base import Dataset
from trainables.data.base.bounds import check_plain
from trainables.data.formats.archives import open_archive
from trainables.data.formats.locate import find, sound
from trainables.data.prepared.index_file import Index

BLOCK_BYTES = 1 << 20
ANEW = "push it to another prefix then, and name that as data root"


def made_from(dataset: Dataset, root: Path) -> list[dict[str, Any]]:
    """For each file, its name in the data set, size and SHA-256; a folder counts with all its files."""
    return [content_of(name, root / name) for name in names_of(dataset, root)]


def stamps(dataset: Dataset, root: Path) -> dict[str, str]:
    """The stamp of each of the user's own files; published files do not change and have none."""
    return {name: stamp_of(root / name) for name in names_of(dataset, root) if Path(name).is_absolute()}


def check_unchanged(index: Index, folder: Path) -> None:
    """Raises DataError where one of the user's own files has changed since the set in `folder` was prepared.

    A file with the same size and time counts as unchanged; otherwise its content is compared. A deleted file is no
    error, as the set does not need it.
    """
    known = {made["file"]: made for made in index["made_from"]}
    for name, stamp in index["stamps"].items():
        path = Path(name)
        if path.exists() and stamp_of(path) != stamp and content_of(name, path) != known[name]:
            raise DataError(f"{path}: has changed since {folder} was made: prepare it again; of a bucket, {ANEW}.")


def names_of(dataset: Dataset, root: Path) -> Iterator[str]:
    """Each file or folder that is read, as the data set names it. Raises DataError where one is absent."""
    for names in dataset.wanted():
        path = find(type(dataset), root, *names)
        yield next(name for name in names if root / name == path)


def content_of(name: str, path: Path) -> dict[str, Any]:
    """The size and the SHA-256 of a file, or of all files in a folder. Raises DataError."""
    digest, size = hashlib.sha256(), 0
    for inner, file in files_in(path):
        digest.update(os.fsencode(inner))
        with sound(file):
            check_plain(file)  # a device or FIFO may never end
        with sound(file), file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    return {"file": name, "bytes": size, "sha256": digest.hexdigest()}


def stamp_of(path: Path) -> str:
    """A hash of the size and time of a file, or of the names, sizes and times of a folder's files; reads none."""
    stats = ((inner, file.stat()) for inner, file in files_in(path))
    lines = (f"{inner} {stat.st_size} {stat.st_mtime_ns}\n" for inner, stat in stats)
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def files_in(path: Path) -> Iterator[tuple[str, Path]]:
    """A file, or the files in a folder, each with its name between zero bytes ("" for a single file)."""
    if not path.is_dir():
        yield "", path
        return
    for name in open_archive(path).names:
        yield f"\0{name}\0", path.parent / name
