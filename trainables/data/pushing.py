"""A prepared set goes into a bucket: its shards, and when all of them are there, its index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.data.base import DataError, one_line
from trainables.data.bucket import INDEX, SHA256, Shard, index_content, place_of, shards_in
from trainables.data.s3 import Absent, Passing, Place, client, persistently, sorted_out
from trainables.late import Late

transfer = Late("boto3.s3.transfer")
failures = Late("boto3.exceptions")

PART_BYTES = 16 << 20  # an object of more goes in parts of so much
PARTS_AT_ONCE = 8
ATTEMPTS = 5  # of boto3, for each part


def push(folder: Path, root: str, sent: Callable[[int], None] = lambda count: None) -> int:
    """Put the prepared set in `folder` (prepared/KEY) below s3://bucket/prefix; how many files were sent, 0 if all
    was there.

    What an interrupted push has left there is kept. `sent` is told of bytes, from several threads. Raises DataError for
    a set that is not sound or not finished, and where another one lies under its key: sets never change.
    """
    place = place_of(root, folder.name)
    content = _read_index(folder)
    shards = shards_in(content, folder / INDEX)
    there = index_content(place)
    if there not in (None, content):
        raise DataError(f"{place}: holds another set under this key, and sets never change: name another prefix.")
    with sorted_out(place):
        speaker = client(ATTEMPTS)
    number = 0
    for shard in shards:
        if _has(speaker, place / shard.file, shard):
            sent(shard.bytes)
        else:
            _send(speaker, folder / shard.file, place / shard.file, shard, sent)
            number += 1
    if there is None:
        _send_index(speaker, place / INDEX, content)
        number += 1
    return number


def _read_index(folder: Path) -> bytes:
    try:
        return (folder / INDEX).read_bytes()
    except OSError as error:
        raise DataError(f"{folder}: no finished set ({error.strerror}): prepare it first.") from error


def _has(speaker: Any, at: Place, shard: Shard) -> bool:
    """Whether the bucket has just this file."""

    def head() -> dict[str, Any]:
        with sorted_out(at):
            return speaker.head_object(Bucket=at.bucket, Key=at.path)

    try:
        answer = persistently(at, head)
    except Absent:
        return False
    return (answer["ContentLength"], answer["Metadata"].get(SHA256)) == (shard.bytes, shard.sha256)


def _send(speaker: Any, path: Path, at: Place, shard: Shard, sent: Callable[[int], None]) -> None:
    """Send a file, in parts where it is large, and see that the bucket has it."""
    if not shard.sound(path):
        raise DataError(f"{path}: is not the file that {INDEX} names: delete {path.parent} and prepare the set again.")
    in_parts = transfer.TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE
    )
    extra = {"Metadata": {SHA256: shard.sha256}}

    def upload() -> None:
        with sorted_out(at):
            try:
                speaker.upload_file(str(path), at.bucket, at.path, ExtraArgs=extra, Callback=sent, Config=in_parts)
            except failures.S3UploadFailedError as error:  # made of what went wrong, which is what can be sorted out
                raise error.__context__ or error from error

    _once(at, upload)
    if not _has(speaker, at, shard):
        cure = "some servers need AWS_REQUEST_CHECKSUM_CALCULATION=when_required"
        raise DataError(f"{at}: the server has kept something else than was sent: {cure}.")


def _send_index(speaker: Any, at: Place, content: bytes) -> None:
    digest = Shard.of(INDEX, content).sha256

    def put() -> None:
        with sorted_out(at):
            speaker.put_object(Bucket=at.bucket, Key=at.path, Body=content, Metadata={SHA256: digest})

    _once(at, put)


def _once(at: Place, action: Callable[[], None]) -> None:
    """Do what boto3 itself tries again. Raises DataError."""
    try:
        action()
    except Absent as error:
        raise DataError(f"{at}: no such bucket: make it, or name another.") from error
    except Passing as error:
        raise DataError(f"{at}: {one_line(error)}: see to the server or the network, then push again.") from error
