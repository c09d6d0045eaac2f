"""Fingerprints of a data set's files, prepared or not: whether they have changed since they were read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainables.common.roots import Root, data_root, in_bucket
from trainables.data.base import Dataset
from trainables.data.formats.locate import sound
from trainables.data.prepared import index_file
from trainables.data.prepared.sources import content_of, files_in, stamp_of
from trainables.data.remote import fetch

Fingerprint = dict[str, dict[str, str | None]]
"""For each file or folder, as the data set names it: its `stamp`, which changes with names, sizes and times, and the
`sha256` of its content; None where that is not known."""

MOST_BYTES = 1 << 30  # largest content that is read only for its checksum, which takes a second or two


def fingerprint(dataset: Dataset, root: Root) -> Fingerprint:
    """The fingerprint of all files that are read; for a prepared set, of those it was made from. Raises DataError."""
    if index := _index(dataset, data_root(root)):
        return _of_index(index)
    return {name: _of_file(name, path) for name, path in _there(dataset, data_root(root))}


def changed(known: Fingerprint, dataset: Dataset, root: Root) -> list[Path]:
    """The files and folders that differ from the fingerprint `known`. Raises DataError.

    A file whose stamp differs is read and counts as unchanged if its content is the same; one too large for a checksum
    counts as changed.
    """
    root = data_root(root)
    if index := _index(dataset, root):
        now, place = _of_index(index), root if isinstance(root, Path) else Path()
        return [place / name for name in now if not _same_as_prepared(known.get(name), now[name])]
    return [path for name, path in _there(dataset, root) if not _same(known.get(name), name, path)]


def _same(before: dict[str, str | None] | None, name: str, path: Path) -> bool:
    if before is None:
        return False
    with sound(path):
        same = before["stamp"] == stamp_of(path)
    return same or bool(before["sha256"]) and before["sha256"] == content_of(name, path)["sha256"]


def _same_as_prepared(before: dict[str, str | None] | None, now: dict[str, str | None]) -> bool:
    """Compares checksums, else stamps. A published file, which has no stamp, is assumed unchanged."""
    if before is None:
        return False
    if before["sha256"]:
        return before["sha256"] == now["sha256"]
    return now["stamp"] in (None, before["stamp"])


def _of_index(index: index_file.Index) -> Fingerprint:
    return {
        made["file"]: {"stamp": index["stamps"].get(made["file"]), "sha256": made["sha256"]}
        for made in index["made_from"]
    }


def _of_file(name: str, path: Path) -> dict[str, str | None]:
    with sound(path):
        small = sum(file.stat().st_size for _, file in files_in(path)) <= MOST_BYTES
        stamp = stamp_of(path)
    return {"stamp": stamp, "sha256": content_of(name, path)["sha256"] if small else None}


def _there(dataset: Dataset, root: Path) -> Iterator[tuple[str, Path]]:
    """The files that are read, by their names; absent ones are left out, as opening the set reports them."""
    for names in dataset.wanted():
        if name := next((name for name in names if (root / name).exists()), None):
            yield name, root / name


def _index(dataset: Dataset, root: Path | str) -> index_file.Index | None:
    """The index of the prepared set that is used in place of the files; None where there is none."""
    folder = fetch.folder_of(dataset, root) if in_bucket(root) else index_file.folder_of(dataset, root)
    return index_file.read_index(folder) if folder and (folder / index_file.INDEX).exists() else None
