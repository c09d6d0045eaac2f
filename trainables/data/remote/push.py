"""Uploads a prepared set to a bucket: its shards, and then its index."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainables.common.errors import DataError
from trainables.common.lazy import LazyModule
from trainables.common.progress import Progress, silent
from trainables.data.prepared.index_file import INDEX
from trainables.data.remote import fetch
from trainables.data.remote.s3 import Absent, BucketPath, Passing, blocks, client, persistently, sorted_out

transfer = LazyModule("boto3.s3.transfer")
failures = LazyModule("boto3.exceptions")

PART_BYTES = 16 << 20  # files of this size or more are uploaded in parts of this size
PARTS_AT_ONCE = 8
ATTEMPTS = 3  # of boto3, for each part
KEPT_WRONG = "the server has kept something else than was sent"
OLD_SERVER = "see to it; some servers need AWS_REQUEST_CHECKSUM_CALCULATION=when_required"


def push(folder: Path, root: str, progress: Progress = silent) -> int:
    """Upload the prepared set in `folder` (prepared/KEY) below s3://bucket/prefix; return the number of files sent.

    Files that are there already, also from an interrupted push, are not sent again. Raises DataError for a set that is
    damaged or unfinished, and where the bucket has another set under its key, as sets never change.
    """
    place, content = fetch.place_of(root, folder.name), _read_index(folder)
    shards = fetch.shards_in(content, folder / INDEX)
    there = fetch.index_content(place)
    if there is not None and fetch.shards_in(there, place / INDEX) != shards:
        raise DataError(f"{place}: holds another set under this key, and sets never change: name another prefix.")
    with sorted_out(place):
        speaker = client(ATTEMPTS)
    number, count = 0, fetch.Count(progress, 0, sum(shard.bytes for shard in shards))
    for shard in shards:
        _check(folder / shard.file, shard)
        if _has(speaker, place / shard.file, folder / shard.file, shard):
            count.add(shard.bytes)
        else:
            _send(speaker, place / shard.file, folder / shard.file, shard, count)
            number += 1
    if there is None:
        _send_index(speaker, place, content)
        number += 1
    return number


def _read_index(folder: Path) -> bytes:
    try:
        return (folder / INDEX).read_bytes()
    except OSError as error:
        raise DataError(f"{folder}: no finished set ({error.strerror}): prepare it first.") from error


def _check(path: Path, shard: fetch.Shard) -> None:
    if not shard.sound(path):
        raise DataError(f"{path}: is not the file that {INDEX} names: delete {path.parent} and prepare the set again.")


def _has(speaker: Any, at: BucketPath, path: Path, shard: fetch.Shard) -> bool:
    """Whether the bucket has this file: by its ETag or, where the server computes ETags differently, by reading it.

    Raises DataError.
    """

    def head() -> dict[str, Any] | None:
        try:
            with sorted_out(at):
                return speaker.head_object(Bucket=at.bucket, Key=at.path)
        except Absent:
            return None

    answer = persistently(at, head)
    if answer is None or answer["ContentLength"] != shard.bytes:
        return False
    return answer["ETag"].strip('"') == etag(path) or _reads_as(at, shard)


def etag(path: Path) -> str:
    """S3's ETag of a file that `_send` uploads: its MD5, or the MD5 of its parts' MD5s."""
    with path.open("rb") as file:
        parts = [_md5(part) for part in iter(lambda: file.read(PART_BYTES), b"")] or [_md5(b"")]
    if path.stat().st_size < PART_BYTES:
        return parts[0].hex()
    return f"{_md5(b''.join(parts)).hex()}-{len(parts)}"


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _reads_as(at: BucketPath, shard: fetch.Shard) -> bool:
    files = fetch.opened(at)

    def read() -> bool:
        try:
            return all(fetch.verified(shard, blocks(files, at)))
        except fetch.Unlike:
            return False

    return persistently(at, read)


def _send(speaker: Any, at: BucketPath, path: Path, shard: fetch.Shard, count: fetch.Count) -> None:
    """Upload a file, in parts if it is large, and verify that the bucket has it. Raises DataError."""
    in_parts = transfer.TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE
    )

    def attempt() -> None:
        with count.attempt() as add:
            with sorted_out(at):
                try:
                    speaker.upload_file(str(path), at.bucket, at.path, Callback=add, Config=in_parts)
                except failures.S3UploadFailedError as error:  # hides the cause, which `sorted_out` can classify
                    raise error.__context__ or error from error
            if not _has(speaker, at, path, shard):
                raise Passing(KEPT_WRONG, OLD_SERVER)

    persistently(at, attempt)
    if shard.bytes >= PART_BYTES:
        _end_unfinished(speaker, at)


def _end_unfinished(speaker: Any, at: BucketPath) -> None:
    """Remove the parts of earlier, killed uploads, which are invisible but cost money."""

    def end() -> None:
        with sorted_out(at):
            pages = speaker.get_paginator("list_multipart_uploads").paginate(Bucket=at.bucket, Prefix=at.path)
            for upload in (each for page in pages for each in page.get("Uploads", ()) if each["Key"] == at.path):
                speaker.abort_multipart_upload(Bucket=at.bucket, Key=at.path, UploadId=upload["UploadId"])

    with suppress(DataError, Absent):  # a user who may upload need not be allowed to list uploads
        persistently(at, end)


def _send_index(speaker: Any, place: BucketPath, content: bytes) -> None:
    at = place / INDEX

    def attempt() -> None:
        with sorted_out(at):
            speaker.put_object(Bucket=at.bucket, Key=at.path, Body=content)
        if fetch.read_index(place) != content:
            raise Passing(KEPT_WRONG, OLD_SERVER)

    persistently(at, attempt)
