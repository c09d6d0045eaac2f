"""Buckets: their addresses, their clients, and the classification of the clients' errors.

boto3 lists, reads indexes and uploads; pyarrow reads shards. Both get the credentials, region and endpoint that boto3
finds (AWS_PROFILE, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, a machine's role, ...).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainables.common.errors import DataError, one_line
from trainables.common.lazy import LazyModule
from trainables.common.roots import S3, cache_folder

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

boto3 = LazyModule("boto3")
config = LazyModule("botocore.config")
exceptions = LazyModule("botocore.exceptions")
fs = LazyModule("pyarrow.fs")

ATTEMPTS = 4
PAUSE_S = 0.5  # after the first attempt; doubles with each
CONNECT_S = 5.0
QUIET_S = 10.0  # time-out without a byte; curl, which pyarrow uses, takes some seconds more
BLOCK_BYTES = 8 << 20  # pyarrow makes one request of each
NO_CREDENTIALS = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
CHECK_CREDENTIALS = "check the credentials, and what they may do with the bucket"
TRY_AGAIN = "see to the server or the network, then try again"
REFUSALS = (
    *("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED_TOKEN", "INVALID_TOKEN"),
    *("INVALID_CLIENT_TOKEN_ID", "MISSING_AUTHENTICATION_TOKEN", "REQUEST_EXPIRED", "UNRECOGNIZED_CLIENT"),
)
PASSING = ("RequestTimeout", "SlowDown", "BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody", "NoSuchUpload")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class BucketPath:
    """A bucket and a path in it; "" is the whole bucket."""

    bucket: str
    path: str = ""

    @staticmethod
    def of(root: str) -> BucketPath:
        """Parse s3://bucket/prefix. Raises DataError."""
        bucket, *path = root.removeprefix(S3).rstrip("/").split("/")
        if not re.fullmatch(r"[\w.-]+", bucket, re.ASCII) or {"", ".", ".."} & {bucket, *path}:
            raise DataError(f"{root}: no plain path in a bucket: write s3://bucket/prefix.")
        return BucketPath(bucket, "/".join(path))

    def __truediv__(self, name: str) -> BucketPath:
        return BucketPath(self.bucket, f"{self.path}/{name}" if self.path else name)

    def __str__(self) -> str:
        return f"{S3}{self.bucket}/{self.path}"

    @property
    def cached(self) -> Path:
        """The folder of this path in the machine's cache."""
        return cache_folder() / "s3" / self.bucket / self.path


class Passing(Exception):
    """A transient error: the next attempt may succeed. `cure` says what to do if it does not."""

    def __init__(self, text: str, cure: str = TRY_AGAIN):
        super().__init__(text)
        self.cure = cure


class Absent(Exception):
    """The object does not exist."""


class Stopped(Exception):
    """Another thread has failed or was interrupted, so this one stops."""


def client(attempts: int = 1) -> Any:
    """boto3's client, which itself makes up to `attempts` attempts."""
    retries = {"total_max_attempts": attempts, "mode": "standard"}
    return boto3.session.Session().client(
        "s3", config=config.Config(connect_timeout=CONNECT_S, read_timeout=QUIET_S, retries=retries)
    )


def filesystem(place: BucketPath) -> S3FileSystem:
    """pyarrow's S3 file system, with the credentials, region and endpoint that boto3 has found."""
    session = boto3.session.Session()
    keys = session.get_credentials()
    known = keys.get_frozen_credentials() if keys else None
    speaker = client()
    endpoint = speaker.meta.endpoint_url
    return fs.S3FileSystem(
        access_key=known and known.access_key,
        secret_key=known and known.secret_key,
        session_token=known and known.token,
        region=region(speaker, place.bucket),
        endpoint_override=None if ".amazonaws.com" in endpoint else endpoint,
        connect_timeout=CONNECT_S,
        request_timeout=QUIET_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),  # `persistently` retries
    )


def region(speaker: Any, bucket: str) -> str:
    """The region of a bucket: pyarrow, unlike boto3, does not follow redirects to it."""
    try:
        answer = speaker.head_bucket(Bucket=bucket)
    except exceptions.ClientError as error:  # a refusal has the region in its headers, too
        answer = error.response
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or speaker.meta.region_name or "us-east-1"


@contextmanager
def sorted_out(place: BucketPath) -> Iterator[None]:
    """Classifies boto3's errors. Raises Passing for transient errors, Absent, and DataError for permanent ones."""
    try:
        yield
    except exceptions.ClientError as error:
        raise _answered(place, error) from error
    except (
        *(exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError),
        *(exceptions.ProfileNotFound, exceptions.TokenRetrievalError, exceptions.SSOError),
    ) as error:
        raise DataError(f"{place}: {NO_CREDENTIALS} ({one_line(error)}).") from error
    except (
        *(exceptions.HTTPClientError, exceptions.FlexibleChecksumError, exceptions.IncompleteReadError),
        exceptions.ConnectionError,
    ) as error:
        raise Passing(one_line(error)) from error
    except (exceptions.BotoCoreError, ValueError) as error:  # an invalid bucket name or endpoint
        raise DataError(f"{place}: {one_line(error)}: mend the address or the AWS_ settings.") from error


def _answered(place: BucketPath, error: Any) -> Exception:
    """The exception for a server's error response."""
    code = error.response.get("Error", {}).get("Code", "")
    text = error.response.get("Error", {}).get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return DataError(f"{place}: no such bucket: make it, or name another (AWS_ENDPOINT_URL says which server).")
    if (status >= 500 and status != 501) or status == 429 or code in PASSING:
        return Passing(f"the server answered {status} {code}")
    if status == 404:
        return Absent()
    said = f"{code}: {text}" if text and text != code else code
    return DataError(f"{place}: refused ({one_line(Exception(said))}): {CHECK_CREDENTIALS}.")


def blocks(files: S3FileSystem, place: BucketPath) -> Iterator[bytes]:
    """An object in blocks, read by pyarrow. Raises Passing, and DataError for permanent errors."""
    try:
        with files.open_input_stream(f"{place.bucket}/{place.path}") as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block
    except FileNotFoundError as error:
        raise DataError(f"{place}: is not there, though the set's index names it: push the set again.") from error
    except OSError as error:
        found = re.search(r"AWS Error (\w+)(?: \(HTTP status (\d+)\))?", str(error))
        name, status = found.groups() if found else ("", None)
        if name in REFUSALS or status in ("400", "401", "403"):
            raise DataError(f"{place}: refused ({name}): {CHECK_CREDENTIALS}.") from error
        raise Passing(one_line(error).rstrip(" :")) from error


def persistently(place: BucketPath, action: Callable[[], Answer], stop: threading.Event | None = None) -> Answer:
    """The result of `action`, retried on Passing with exponentially growing pauses. Raises DataError, Stopped.

    `stop`, once set, ends the waiting.
    """
    stop = stop or threading.Event()
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except Passing as error:
            last = error
        if attempt + 1 < ATTEMPTS and stop.wait(PAUSE_S * 2**attempt):
            raise Stopped
    raise DataError(f"{place}: {last} ({ATTEMPTS} attempts): {last.cure}.") from last
