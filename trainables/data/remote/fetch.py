"""Fetches prepared sets from a bucket: once per machine into its cache, verified, and read from there.

In the bucket and in the cache a set is a folder prepared/KEY of shards and an index.json, which is written last:
without it the set is unfinished. A set never changes, so one in the cache needs no network.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.common.errors import DataError, Unfit
from trainables.common.files import remove_half_written
from trainables.common.progress import Progress, silent
from trainables.data.base import Dataset
from trainables.data.prepared import index_file
from trainables.data.prepared.disk import alone, check_room, disk_errors_as_data_errors, sync, write_durably
from trainables.data.prepared.index_file import INDEX, PREPARED
from trainables.data.remote.s3 import (
    Absent,
    BucketPath,
    Passing,
    Stopped,
    blocks,
    client,
    filesystem,
    persistently,
    sorted_out,
)

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

AT_ONCE = 4  # shards
PLAIN_NAME = r"(?!index\.json$)\w[\w.-]*"  # of a shard
ANOTHER_CACHE = "name another cache by VAEORCH_CACHE"


@dataclass(frozen=True)
class Shard:
    """One file of a set: its name, size and SHA-256, in hex."""

    file: str
    bytes: int
    sha256: str

    def sound(self, path: Path) -> bool:
        """Whether a file has this shard's size and checksum."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


class Unlike(Passing):
    """The downloaded content does not match the index."""

    def __init__(self, text: str):
        super().__init__(text, "it is damaged in the bucket: delete it there and push the set again")


def place_of(root: str, key: str) -> BucketPath:
    """The path of the set with this key below s3://bucket/prefix. Raises DataError."""
    return BucketPath.of(root) / PREPARED / key


def folder_of(dataset: Dataset, root: str, progress: Progress = silent) -> Path | None:
    """The folder of a record's prepared set in this machine's cache, fetched from below `root` if needed.

    None where the bucket has no such set and the data set needs no downloaded files. Raises DataError.
    """
    folder = fetched(root, index_file.key(dataset), progress)
    if folder is None and dataset.home:
        verbs = (f"vaeorch data {verb}" for verb in ("prepare", "push"))
        make, send = (f"'{verb} {dataset.name}{set_options(dataset)}" for verb in verbs)
        cure = f"where its files are run {make}', then {send} {root}'"
        raise DataError(f"{place_of(root, index_file.key(dataset))}: no prepared set of '{dataset.name}': {cure}.")
    return folder


def set_options(dataset: Dataset) -> str:
    """The command-line options for a record's settings that are not the defaults."""
    chosen = dataset.model_dump(mode="json", exclude_defaults=True, exclude={"name"} | index_file.LIMITS)
    return "".join(f" --set {name}={json.dumps(value)}" for name, value in chosen.items())


def fetched(root: str, key: str, progress: Progress = silent) -> Path | None:
    """The folder of a prepared set in this machine's cache, fetched from below `root` unless it is there.

    None where the bucket has no such set. One process fetches while others wait. Raises DataError.
    """
    place = place_of(root, key)
    folder = place.cached
    if is_whole(folder):
        return folder
    with disk_errors_as_data_errors(folder, ANOTHER_CACHE), alone(folder):
        if is_whole(folder):
            return folder
        content = index_content(place)
        if content is None:
            return None
        fill(place, content, folder, progress)
    return folder


def sets(root: str) -> dict[str, int]:
    """Key -> size in bytes of the finished sets below `root`."""
    place = BucketPath.of(root) / PREPARED
    sizes: dict[str, int] = {}
    finished = set()
    for name, size in persistently(place, lambda: objects(place)).items():
        key, _, file = name.partition("/")
        sizes[key] = sizes.get(key, 0) + size
        finished |= {key} if file == INDEX else set()
    return {key: size for key, size in sizes.items() if key in finished}


def objects(place: BucketPath) -> dict[str, int]:
    """All objects below a path: relative name -> size. Raises Passing and DataError."""
    start = f"{place.path}/"
    with sorted_out(place):
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=start)
        return {each["Key"].removeprefix(start): each["Size"] for page in pages for each in page.get("Contents", ())}


def index_content(place: BucketPath) -> bytes | None:
    """The index.json of a set in a bucket; None where there is none. Raises DataError."""
    try:
        return persistently(place / INDEX, lambda: read_index(place))
    except Absent:
        return None


def read_index(place: BucketPath) -> bytes:
    """The same in a single attempt. Raises Passing, Absent and DataError."""
    at = place / INDEX
    with sorted_out(at):
        content = client().get_object(Bucket=at.bucket, Key=at.path)["Body"].read()
    try:
        index_file.index_of(content)
    except Unfit as error:
        raise Unlike(str(error)) from error
    return content


def shards_in(content: bytes, at: BucketPath | Path) -> list[Shard]:
    """The files that an index.json lists, in order. Raises DataError that names `at`."""
    try:
        named = [shard for _, _, shard in index_file.shards_of(index_file.index_of(content))]
    except Unfit as error:
        raise DataError(f"{at}: {error}: {index_file.CURE}.") from error
    odd = next((shard["file"] for shard in named if not re.fullmatch(PLAIN_NAME, shard["file"])), None)
    if odd is not None:
        raise DataError(f"{at}: names '{odd}', which is no plain file name: {index_file.CURE}.")
    return [Shard(shard["file"], shard["bytes"], shard["sha256"]) for shard in named]


def is_whole(folder: Path) -> bool:
    """Whether a set is complete: its index, and each file in its full size."""
    try:
        shards = shards_in((folder / INDEX).read_bytes(), folder / INDEX)
        return all((folder / shard.file).stat().st_size == shard.bytes for shard in shards)
    except (OSError, DataError):
        return False


def fill(place: BucketPath, content: bytes, folder: Path, progress: Progress) -> None:
    """Fetch what is missing in a folder of the cache, the index last. The caller holds `alone`. Raises DataError."""
    (folder / INDEX).unlink(missing_ok=True)
    remove_half_written(folder)
    shards = shards_in(content, place / INDEX)
    missing = [shard for shard in shards if not shard.sound(folder / shard.file)]
    needed, total = (sum(shard.bytes for shard in some) for some in (missing, shards))
    check_room(folder, needed, ANOTHER_CACHE)
    count = Count(progress, total - needed, total)
    if missing:
        fetch_all(place, missing, folder, count)
    write_durably(folder / INDEX, [content])
    sync(folder)


class Count:
    """Counts bytes from several threads and reports each change."""

    def __init__(self, progress: Progress, done: int, of: int):
        self.progress, self.done, self.of = progress, done, of
        self.lock = threading.Lock()
        self.add(0)

    def add(self, count: int) -> None:
        """Add `count` bytes, which may be negative."""
        with self.lock:
            self.done += count
            self.progress(self.done, self.of)

    @contextmanager
    def attempt(self) -> Iterator[Callable[[int], None]]:
        """Yields `add`; if the block raises, its additions are subtracted again."""
        added: list[int] = []

        def add(count: int) -> None:
            added.append(count)
            self.add(count)

        try:
            yield add
        except BaseException:
            self.add(-sum(added))
            raise


def fetch_all(place: BucketPath, shards: list[Shard], folder: Path, count: Count) -> None:
    """Fetch files, several at once. The first failure, or Ctrl-C, stops the others."""
    files, stop = opened(place), threading.Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(fetch, files, place / shard.file, shard, folder, count, stop) for shard in shards]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def opened(place: BucketPath) -> S3FileSystem:
    """pyarrow's file system of a bucket. Raises DataError."""

    def attempt() -> S3FileSystem:
        with sorted_out(place):
            return filesystem(place)

    return persistently(place, attempt)


def fetch(files: S3FileSystem, at: BucketPath, shard: Shard, folder: Path, count: Count, stop: threading.Event) -> None:
    """Fetch one file into a folder, verified and atomically. Raises DataError, OSError, Stopped."""

    def attempt() -> None:
        with count.attempt() as add:
            write_durably(folder / shard.file, verified(shard, counted(blocks(files, at), add, stop)))

    persistently(at, attempt, stop)


def counted(content: Iterable[bytes], add: Callable[[int], None], stop: threading.Event) -> Iterator[bytes]:
    """Yields the blocks and counts their bytes. Raises Stopped."""
    for block in content:
        if stop.is_set():
            raise Stopped
        add(len(block))
        yield block


def verified(shard: Shard, content: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the blocks; after the last, raises Passing where size or checksum differ from the index."""
    digest, size = hashlib.sha256(), 0
    for block in content:
        digest.update(block)
        size += len(block)
        yield block
    if size != shard.bytes:
        raise Unlike(f"has {size} bytes in place of {shard.bytes}")
    if digest.hexdigest() != shard.sha256:
        raise Unlike("wrong checksum")
