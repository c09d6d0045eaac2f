"""A folder in a bucket that holds files of sweeps: `Bucket` reads, writes and lists it, and tries again on its own.

`trainables/data/remote/s3.py` makes the client and classifies its errors. `snapshots.py` keeps sweeps in such a folder.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from orchestrator.errors import UserError
from trainables.common.errors import DataError, one_line
from trainables.common.files import whole
from trainables.common.lazy import LazyModule
from trainables.data.remote.s3 import Absent, BucketPath, Passing, client, persistently, sorted_out

transfer = LazyModule("boto3.s3.transfer")
failures = LazyModule("boto3.exceptions")
exceptions = LazyModule("botocore.exceptions")

Answer = TypeVar("Answer")
PART_BYTES = 16 << 20  # larger files travel in parts of this size
PARTS_AT_ONCE = 8
ATTEMPTS = 3  # of boto3, for each request
LISTED = 1000  # names that one request may remove
TAKEN = 412  # the status of an object that is there already


class Damaged(UserError):
    """An object is missing, or is not what its name says."""


class Entry(NamedTuple):
    """An object as a listing shows it."""

    bytes: int
    changed: datetime


class Bucket:
    """The objects below s3://bucket/prefix/..., by their names there. Methods raise UserError, of one line."""

    def __init__(self, address: str):
        try:
            self.place = BucketPath.of(address)
        except DataError as error:
            raise UserError(str(error)) from None

    @cached_property
    def client(self) -> Any:
        with sorted_out(self.place):
            return client(ATTEMPTS)

    def check(self) -> None:
        """Write an object, read, list and remove it: so that what is not allowed is known before a sweep needs it."""
        probe = f"probe-{secrets.token_hex(4)}"
        self.write_new(probe, b"")
        self.read(probe)
        self.names(probe)
        self.remove([probe])

    def names(self, below: str = "") -> dict[str, Entry]:
        """The objects whose name begins so."""
        start = f"{self.place.path}/"

        def listed(at: BucketPath) -> dict[str, Entry]:
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=at.bucket, Prefix=f"{start}{below}")
            found = (each for page in pages for each in page.get("Contents", ()))
            return {each["Key"].removeprefix(start): Entry(each["Size"], each["LastModified"]) for each in found}

        return self._ask("", listed)

    def read(self, name: str) -> bytes:
        """The content of a small object. Raises Damaged if it is missing."""
        return self._ask(name, lambda at: self.client.get_object(Bucket=at.bucket, Key=at.path)["Body"].read())

    def write(self, name: str, content: bytes) -> None:
        """Write a small object, whole or not at all."""
        self._ask(name, lambda at: self.client.put_object(Bucket=at.bucket, Key=at.path, Body=content))

    def write_new(self, name: str, content: bytes) -> bool:
        """The same, unless there is an object of that name: then nothing is changed, and False returned."""

        def written(at: BucketPath) -> bool:
            try:
                self.client.put_object(Bucket=at.bucket, Key=at.path, Body=content, IfNoneMatch="*")
            except exceptions.ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != TAKEN:
                    raise
                return False
            return True

        return self._ask(name, written)

    def send(self, file: Path, name: str) -> None:
        """Upload a file, which does not change meanwhile. Raises OSError, too."""

        def sent(at: BucketPath) -> None:
            with _transferred():
                self.client.upload_file(str(file), at.bucket, at.path, Config=_in_parts())

        self._ask(name, sent)

    def fetch(self, name: str, file: Path, sha256: str) -> None:
        """Download an object, whole or not at all. Raises OSError, and Damaged if it has another checksum."""

        def fetched(at: BucketPath) -> None:
            with whole(file) as beside, _transferred():
                self.client.download_fileobj(at.bucket, at.path, beside, Config=_in_parts())
                beside.flush()
                if checksum(Path(beside.name)) != sha256:
                    raise Damaged(f"{at}: is damaged: its checksum is another.")

        file.parent.mkdir(parents=True, exist_ok=True)
        self._ask(name, fetched)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects."""
        left = list(names)
        while left:
            some, left = left[:LISTED], left[LISTED:]
            self._ask("", lambda at, some=some: self._removed(at, some))

    def _removed(self, at: BucketPath, names: list[str]) -> None:
        keys = [{"Key": (self.place / name).path} for name in names]
        answer = self.client.delete_objects(Bucket=at.bucket, Delete={"Objects": keys, "Quiet": True})
        for error in answer.get("Errors", ())[:1]:
            raise UserError(f"{at.bucket}/{error['Key']}: cannot be removed ({error['Code']}): {error['Message']}")

    def _ask(self, name: str, action: Callable[[BucketPath], Answer]) -> Answer:
        """What `action` returns of an object, tried again where that may help."""
        at = self.place / name if name else self.place

        def attempt() -> Answer:
            with sorted_out(at):
                return action(at)

        try:
            return persistently(at, attempt)
        except Absent:
            raise Damaged(f"{at}: is missing.") from None
        except DataError as error:
            raise UserError(str(error)) from None


def checksum(file: Path) -> str:
    """The SHA-256 of a file, in hex. Raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _in_parts() -> Any:
    return transfer.TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE
    )


@contextmanager
def _transferred() -> Iterator[None]:
    """Raises the error that boto3's transfers hide in one of their own."""
    try:
        yield
    except failures.S3UploadFailedError as error:
        raise error.__context__ or Passing(one_line(error)) from error
    except failures.RetriesExceededError as error:
        raise Passing(one_line(error)) from error
