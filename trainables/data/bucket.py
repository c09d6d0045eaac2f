"""Prepared sets in a bucket: each is fetched once per machine into its cache, verified, and read from there.

In the bucket and in the cache a set is a folder prepared/KEY of shards and index.json, written last: without it there
is nothing to read. A set never changes, so one that is in the cache needs no network.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data.base import DataError
from trainables.data.s3 import Absent, Passing, Place, Stopped, blocks, client, filesystem, persistently, sorted_out

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

PREPARED, INDEX = "prepared", "index.json"
SHA256 = "sha256"  # in an object's metadata
AT_ONCE = 4  # shards
PLAIN_NAME = r"(?!index\.json$)\w[\w.-]*"  # of a shard
MIB = 1 << 20
ANOTHER_CACHE = "name another cache by VAEORCH_CACHE"

Told = Callable[[int, int], None]
"""Is told that so many bytes more have come (or are sent), and of how many in all; from several threads.

A number below 0 takes those of a failed attempt back.
"""


@dataclass(frozen=True)
class Shard:
    """One file of a set: its name, its size, and the SHA-256 of the whole of it in hex."""

    file: str
    bytes: int
    sha256: str

    def sound(self, path: Path) -> bool:
        """Whether a file is this shard, byte for byte."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, SHA256).hexdigest() == self.sha256


class Unlike(Passing):
    """What came is not what the index says."""

    def __init__(self, text: str):
        super().__init__(text, "it is damaged in the bucket: delete it there and push the set again")


def place_of(root: str, key: str) -> Place:
    """Where the set with this key lies below s3://bucket/prefix. Raises DataError."""
    return Place.of(root) / PREPARED / key


def fetched(root: str, key: str, told: Told = lambda count, total: None) -> Path | None:
    """The folder of a prepared set in this machine's cache, fetched from below `root` unless it is there.

    None where the bucket has no such set. Of several processes one fetches and the others wait. Raises DataError.
    """
    place = place_of(root, key)
    folder = place.cached
    if is_whole(folder):
        return folder
    with disk_told(folder), alone(folder):
        if is_whole(folder):
            return folder
        content = index_content(place)
        if content is None:
            return None
        fill(place, content, folder, told)
    return folder


def sets(root: str) -> dict[str, int]:
    """The sets below `root`, by their keys, each with its size in bytes; not those that are unfinished."""
    place = Place.of(root) / PREPARED
    sizes: dict[str, int] = {}
    finished = set()
    for name, size in persistently(place, lambda: objects(place)).items():
        key, _, file = name.partition("/")
        sizes[key] = sizes.get(key, 0) + size
        finished |= {key} if file == INDEX else set()
    return {key: size for key, size in sizes.items() if key in finished}


def objects(place: Place) -> dict[str, int]:
    """All objects below a place, named from there, with their sizes. Raises Passing and DataError."""
    start = f"{place.path}/"
    with sorted_out(place):
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=start)
        return {each["Key"].removeprefix(start): each["Size"] for page in pages for each in page.get("Contents", ())}


def index_content(place: Place) -> bytes | None:
    """The index.json of a set in a bucket; None where there is none. Raises DataError."""
    try:
        return persistently(place / INDEX, lambda: read_index(place))
    except Absent:
        return None


def read_index(place: Place) -> bytes:
    """The same at one attempt. Raises Passing, Absent and DataError."""
    at = place / INDEX
    with sorted_out(at):
        answer = client().get_object(Bucket=at.bucket, Key=at.path)
        content = answer["Body"].read()
    if answer["Metadata"].get(SHA256) not in (None, hashlib.sha256(content).hexdigest()):
        raise Unlike("wrong checksum")
    return content


def shards_in(content: bytes, at: Place | Path) -> list[Shard]:
    """The files that an index.json names, one after the other. Raises DataError that names where it lies."""
    try:
        splits = [split for split in json.loads(content)["splits"].values() if split]
        shards = [Shard(str(it["file"]), int(it["bytes"]), str(it["sha256"])) for all in splits for it in all["shards"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{at}: damaged or something else: push the set again, under another prefix.") from error
    odd = next((shard.file for shard in shards if not re.fullmatch(PLAIN_NAME, shard.file)), None)
    if odd is not None:
        raise DataError(f"{at}: names '{odd}', which is no plain file name: push the set again, under another prefix.")
    return shards


def is_whole(folder: Path) -> bool:
    """Whether all of a set is there: its index, and each file in its full size."""
    try:
        shards = shards_in((folder / INDEX).read_bytes(), folder / INDEX)
        return all((folder / shard.file).stat().st_size == shard.bytes for shard in shards)
    except (OSError, DataError):
        return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the one process that writes into a folder of the cache; others wait. The lock dies with its process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def disk_told(folder: Path) -> Iterator[None]:
    """Raises DataError for what the disk refuses."""
    try:
        yield
    except OSError as error:
        full = "free room, or " if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}): {full}{ANOTHER_CACHE}.") from error


def fill(place: Place, content: bytes, folder: Path, told: Told) -> None:
    """Fetch what a folder of the cache lacks of a set, the index last. Only who is `alone` may. Raises DataError."""
    folder.mkdir(exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    for left in folder.glob(".*"):  # half-written, by a process that was killed
        left.unlink()
    shards = shards_in(content, place / INDEX)
    missing = [shard for shard in shards if not shard.sound(folder / shard.file)]
    check_room(folder, sum(shard.bytes for shard in missing))
    total = sum(shard.bytes for shard in shards)
    told(total - sum(shard.bytes for shard in missing), total)
    if missing:
        fetch_all(place, missing, folder, lambda count: told(count, total))
    write_durably(folder / INDEX, [content])
    sync(folder)


def check_room(folder: Path, needed: int) -> None:
    """Raises DataError where the disk has not so many bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        sizes = f"{needed / MIB:,.1f} MiB are to be fetched, but {free / MIB:,.1f} MiB are free"
        raise DataError(f"{folder}: {sizes}: free room, or {ANOTHER_CACHE}.")


def fetch_all(place: Place, shards: list[Shard], folder: Path, arrived: Callable[[int], None]) -> None:
    """Fetch files, several at once. The first that cannot be had, or Ctrl-C, stops the others."""
    files, stop = opened(place), threading.Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(fetch, files, place, shard, folder, arrived, stop) for shard in shards]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def opened(place: Place) -> S3FileSystem:
    """pyarrow's view of a bucket. Raises DataError."""

    def attempt() -> S3FileSystem:
        with sorted_out(place):
            return filesystem(place)

    return persistently(place, attempt)


def fetch(
    files: S3FileSystem,
    place: Place,
    shard: Shard,
    folder: Path,
    arrived: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """Fetch one file of a set, whole and right or not at all. Raises DataError, OSError, Stopped."""

    def attempt() -> None:
        with taken_back(arrived) as count:
            write_durably(folder / shard.file, verified(shard, counted(blocks(files, place / shard.file), count, stop)))

    persistently(place / shard.file, attempt, stop)


@contextmanager
def taken_back(arrived: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """`arrived`; what it has heard in here is taken back if this fails."""
    heard: list[int] = []

    def hear(count: int) -> None:
        heard.append(count)
        arrived(count)

    try:
        yield hear
    except BaseException:
        arrived(-sum(heard))
        raise


def counted(content: Iterable[bytes], count: Callable[[int], None], stop: threading.Event) -> Iterator[bytes]:
    """The same, each piece being counted. Raises Stopped."""
    for block in content:
        if stop.is_set():
            raise Stopped
        count(len(block))
        yield block


def verified(shard: Shard, content: Iterable[bytes]) -> Iterator[bytes]:
    """The same, if it is what the index says. Raises Passing at its end."""
    digest, size = hashlib.sha256(), 0
    for block in content:
        digest.update(block)
        size += len(block)
        yield block
    if size != shard.bytes:
        raise Unlike(f"has {size} bytes in place of {shard.bytes}")
    if digest.hexdigest() != shard.sha256:
        raise Unlike("wrong checksum")


def write_durably(path: Path, content: Iterable[bytes]) -> None:
    """Write a file beside, and give it its name once it is whole and on the disk. Raises what `content` does."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Make the names in a folder outlast a loss of power."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
