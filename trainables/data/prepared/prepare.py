"""Writes a prepared set shard by shard: it may be larger than memory, and the process may be killed at any moment."""

# Shapes: K rows of the shards that are read together.

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.common.errors import DataError
from trainables.common.files import remove_half_written
from trainables.common.installed import version
from trainables.common.progress import Progress, silent
from trainables.data.base import SPLITS, Dataset, Part, Rows, Splits
from trainables.data.prepared import index_file, mapped, shards, sources
from trainables.data.prepared.disk import alone, check_room, disk_errors_as_data_errors, sync, write_durably
from trainables.data.prepared.verify import damages

SHARD_BYTES = 64 << 20  # of pixels
AT_ONCE_BYTES = 1 << 30  # read together from files that can only be read from the start
ELSEWHERE = "name another folder to prepare into (--to)"


@dataclass(frozen=True)
class PlannedShard:
    """The rows of one shard: `rows` rows of a split from row `first`."""

    split: str
    number: int
    first: int
    rows: int
    bytes: int

    @property
    def file(self) -> str:
        return f"{self.split}-{self.number:05}.arrow"


def prepare(dataset: Dataset, root: Path, to: Path | None = None, progress: Progress = silent) -> Path:
    """Write the prepared set of all rows of `dataset`, whose files are below `root`; return its folder.

    The folder is below `to`, or `root`. Keeps intact shards that are there already and rewrites damaged ones. One
    process works while others wait. Raises DataError.
    """
    folder = index_file.folder_of(dataset, to or root)
    if is_whole(dataset, folder):
        return folder
    splits = dataset.from_files(root)
    with disk_errors_as_data_errors(folder, ELSEWHERE), alone(folder):
        if not is_whole(dataset, folder):
            fill(folder, dataset, splits, root, progress)
    return folder


def is_whole(dataset: Dataset, folder: Path) -> bool:
    """Whether the set can be opened and all its checksums match."""
    try:
        mapped.open_set(dataset, folder)
        return not list(damages(dataset, folder))
    except DataError:
        return False


def fill(folder: Path, dataset: Dataset, splits: Splits, root: Path, progress: Progress) -> None:
    """Write what is missing in the folder, the index last. The caller holds `alone`. Raises DataError and OSError."""
    (folder / index_file.INDEX).unlink(missing_ok=True)
    remove_half_written(folder)
    parts = {split: part for split in SPLITS if (part := getattr(splits, split)) is not None}
    plans = [plan for split, part in parts.items() for plan in cut(split, part)]
    stamps, common = sources.stamps(dataset, root), described(dataset, splits, root)
    columns = {split: shards.columns_of(part.take(slice(0)).read()) for split, part in parts.items()}
    made = {plan: shard for plan in plans if (shard := _kept(folder, plan, common, columns[plan.split]))}
    missing = [plan for plan in plans if plan not in made]
    check_room(folder, sum(plan.bytes for plan in missing), ELSEWHERE)
    done, of = sum(plan.bytes for plan in made), sum(plan.bytes for plan in plans)
    progress(done, of)
    for split, part in parts.items():
        for plan, rows in read(part, [plan for plan in missing if plan.split == split]):
            made[plan] = _written(folder, plan, rows, common)
            del rows  # it keeps all rows that were read together in memory while the next are read
            done += plan.bytes
            progress(done, of)
    entries = {split: _entry(columns[split], [made[plan] for plan in plans if plan.split == split]) for split in parts}
    said = {index_file.NOTES: list(splits.notes)} if stamps or splits.notes else {}
    index = common | said | {"stamps": stamps, "splits": dict.fromkeys(SPLITS) | entries}
    write_durably(folder / index_file.INDEX, [index_file.written(index)])
    sync(folder)


def cut(split: str, part: Part) -> Iterator[PlannedShard]:
    """The shards of a split, of equal size except the last."""
    row_bytes = math.prod(part.shape) * (part.x.element_size() if isinstance(part, Rows) else 1)
    step = max(SHARD_BYTES // row_bytes, 1)
    for number, first in enumerate(range(0, len(part), step)):
        rows = min(step, len(part) - first)
        yield PlannedShard(split, number, first, rows, rows * row_bytes)


def read(part: Part, plans: list[PlannedShard]) -> Iterator[tuple[PlannedShard, Rows]]:
    """The rows of each shard. Files that can only be read from the start are read for many shards at once."""
    together = max(AT_ONCE_BYTES // SHARD_BYTES, 1) if getattr(part, "from_front", False) else 1
    for start in range(0, len(plans), together):
        yield from _read_together(part, plans[start : start + together])


def _read_together(part: Part, plans: list[PlannedShard]) -> Iterator[tuple[PlannedShard, Rows]]:
    index_K = torch.cat([torch.arange(plan.first, plan.first + plan.rows) for plan in plans])
    rows, first = part.take(index_K).read(), 0
    for plan in plans:
        yield plan, rows.take(slice(first, first + plan.rows))
        first += plan.rows


def described(dataset: Dataset, splits: Splits, root: Path) -> index_file.Index:
    """The description of the whole set for the index and the shards."""
    values = splits.train.range
    return {
        "format": index_file.FORMAT,
        "data": index_file.settings(dataset),
        "shape": list(splits.train.shape),
        "range": None if values is None else list(values),
        "source": dataset.source,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "home": dataset.home,
        "vaeorch": version(),
        "made_from": sources.made_from(dataset, root),
    }


def _kept(folder: Path, plan: PlannedShard, common: index_file.Index, columns: dict[str, Any]) -> dict[str, Any] | None:
    """The entry of a shard that an earlier process wrote from the same files; None where it must be written."""
    path, head = folder / plan.file, shards.head_of(common, plan.split, plan.first)
    return _shard(plan, path.read_bytes()) if shards.is_sound(path, plan.rows, head, columns) else None


def _written(folder: Path, plan: PlannedShard, rows: Rows, common: index_file.Index) -> dict[str, Any]:
    content = shards.content_of(rows, shards.head_of(common, plan.split, plan.first))
    write_durably(folder / plan.file, [content])
    return _shard(plan, content)


def _shard(plan: PlannedShard, content: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"file": plan.file, "bytes": len(memoryview(content)), "sha256": digest, "rows": plan.rows}


def _entry(columns: dict[str, Any], made: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": sum(shard["rows"] for shard in made), "columns": columns, "shards": made}
