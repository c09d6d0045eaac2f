"""Prepared sets in a bucket: each is fetched once per machine into its cache, verified, and read from there.

In the bucket and in the cache a set is a folder prepared/KEY of shards and index.json, written last: without it there is
nothing to read. A set never changes, so one that is in the cache needs no network.
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
from collections.abc import Callable, Iterator
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
MIB = 1 << 20

Arrived = Callable[[int], None]
"""Is told how many bytes have come, from several threads; a number below 0 takes those of a failed attempt back."""


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


def place_of(root: str, key: str) -> Place:
    """Where the set with this key lies below s3://bucket/prefix. Raises DataError."""
    return Place.of(root) / PREPARED / key


def fetched(root: str, key: str, arrived: Arrived = lambda count: None) -> Path | None:
    """The folder of a prepared set in this machine's cache, fetched from below `root` unless it is there.

    None where the bucket has no such set. Of several processes one fetches and the others wait. Raises DataError.
    """
    place = place_of(root, key)
    folder = place.cached
    if is_whole(folder):
        return folder
    content = index_content(place)
    if content is None:
        return None
    with disk_told(folder), alone(folder):
        if not is_whole(folder):
            fill(place, content, folder, arrived)
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
    at = place / INDEX

    def get() -> bytes:
        with sorted_out(at):
            answer = client().get_object(Bucket=at.bucket, Key=at.path)
            content = answer["Body"].read()
        if answer["Metadata"].get(SHA256) not in (None, hashlib.sha256(content).hexdigest()):
            raise Passing("wrong checksum")
        return content

    try:
        return persistently(at, get)
    except Absent:
        return None


def shards_in(content: bytes, at: Place | Path) -> list[Shard]:
    """The files that an index.json names, one after the other. Raises DataError that names where it lies."""
    try:
        splits = [split for split in json.loads(content)["splits"].values() if split]
        shards = [Shard(str(it["file"]), int(it["bytes"]), str(it["sha256"])) for all in splits for it in all["shards"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{at}: damaged or something else: push the set again, under another prefix.") from error
    odd = next((shard.file for shard in shards if Path(shard.file).name != shard.file or shard.file[0] == "."), None)
    if odd is not None:
        raise DataError(f"{at}: names '{odd}', which is no plain file name: push the set again, under another prefix.")
    return shards


def is_whole(folder: Path) -> bool:
    """Whether all of a set is there: its index, and each file in its full size."""
    try:
        shards = shards_in((folder / INDEX).read_bytes(), folder / INDEX)
        return all((folder / shard.file).stat().st_size == shard.bytes for shard in shards)
    except (FileNotFoundError, DataError):
        return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the one process that writes into a folder of the cache; others wait. The lock dies with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def disk_told(folder: Path) -> Iterator[None]:
    """Raises DataError for what the disk refuses."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = "free room, or name another cache by VAEORCH_CACHE" if full else "name another cache by VAEORCH_CACHE"
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}): {cure}.") from error


def fill(place: Place, content: bytes, folder: Path, arrived: Arrived) -> None:
    """Fetch what a folder of the cache lacks of a set, the index last. Only who is `alone` may. Raises DataError."""
    (folder / INDEX).unlink(missing_ok=True)
    for left in folder.iterdir():
        if re.fullmatch(r"\..+\.\d+", left.name):  # of a process that was killed
            left.unlink()
    missing = []
    for shard in shards_in(content, place / INDEX):
        if shard.sound(folder / shard.file):
            arrived(shard.bytes)
        else:
            missing.append(shard)
    check_room(folder, sum(shard.bytes for shard in missing))
    if missing:
        fetch_all(place, missing, folder, arrived)
    write_durably(folder / INDEX, [content])
    sync(folder)


def check_room(folder: Path, needed: int) -> None:
    """Raises DataError where the disk has not so many bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        sizes = f"{needed / MIB:,.0f} MiB are to be fetched, but {free / MIB:,.0f} MiB are free"
        raise DataError(f"{folder}: {sizes}: free room, or name another cache by VAEORCH_CACHE.")


def fetch_all(place: Place, shards: list[Shard], folder: Path, arrived: Arrived) -> None:
    """Fetch files, several at once. The first that cannot be had stops the others."""
    files, stop = persistently(place, lambda: _files(place)), threading.Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(fetch_one, files, place / shard.file, shard, folder, arrived, stop) for shard in shards]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            stop.set()
            raise


def _files(place: Place) -> S3FileSystem:
    with sorted_out(place):
        return filesystem(place)


def fetch_one(
    files: S3FileSystem, at: Place, shard: Shard, folder: Path, arrived: Arrived, stop: threading.Event
) -> None:
    """Fetch one file into a folder, whole and right or not at all. Raises DataError, OSError, Stopped."""

    def attempt() -> None:
        digest, count = hashlib.sha256(), 0

        def verified() -> Iterator[bytes]:
            nonlocal count
            for block in blocks(files, at):
                if stop.is_set():
                    raise Stopped
                digest.update(block)
                count += len(block)
                arrived(len(block))
                yield block
            if count != shard.bytes:
                raise Passing(f"{count} bytes came in place of {shard.bytes}")
            if digest.hexdigest() != shard.sha256:
                raise Passing("wrong checksum: damaged on the way, or in the bucket")

        try:
            write_durably(folder / shard.file, verified())
        except BaseException:
            arrived(-count)
            raise

    persistently(at, attempt, stop)


def write_durably(path: Path, content: Iterator[bytes] | list[bytes]) -> None:
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
