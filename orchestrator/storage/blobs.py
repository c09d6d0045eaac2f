"""Weights of trials in a bucket: a node uploads them itself, and the trial's folder holds a small reference instead.

The reference to best.pt is best.pt.blob beside where that would be. `here` brings the file; who only wants to know
whether there is one asks `exists`, and `sha256_of` tells its checksum without bringing it.
"""

import json
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.storage import layout
from orchestrator.storage.bucket import Bucket, Damaged, checksum
from orchestrator.storage.json_files import holds, write_whole

PATIENCE_S = 600.0  # for a bucket that is away, where nothing goes on without it
PAUSE_S = 5.0


@dataclass(frozen=True)
class Reference:
    """What stands in a folder for a file that is in a bucket."""

    blob: str
    """The object: s3://bucket/..."""
    sha256: str
    """Of its content."""
    bytes: int

    @classmethod
    def read(cls, file: Path) -> "Reference":
        """Raises Damaged, and OSError."""
        try:
            found = json.loads(file.read_bytes())
        except ValueError:
            found = None
        if not holds(found, {"blob": str, "sha256": str, "bytes": int}):
            raise Damaged(f"{file}: is damaged: it refers to no blob.")
        return cls(found["blob"], found["sha256"], found["bytes"])

    def fetch(self, file: Path, patience_s: float = PATIENCE_S) -> None:
        """Download it, whole or not at all. Waits for a bucket that is away. Raises Damaged, UserError and OSError."""
        place, _, name = self.blob.rpartition("/")
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return bucket(place).fetch(name, file, self.sha256)
            except Damaged:
                raise
            except UserError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(PAUSE_S)


def upload(file: Path, place: str) -> Path:
    """Upload a file below s3://bucket/..., and write the reference beside it, which is returned.

    Raises UserError and OSError.
    """
    digest = checksum(file)
    bucket(place).send(file, digest)
    reference = layout.reference_to(file)
    write_whole(reference, json.dumps(asdict(Reference(f"{place}/{digest}", digest, file.stat().st_size))) + "\n")
    return reference


@cache
def bucket(place: str) -> Bucket:
    """A place in a bucket. To make its client takes a while."""
    return Bucket(place)


def exists(file: Path) -> bool:
    """Whether there is a file, here or in a bucket."""
    return file.is_file() or layout.reference_to(file).is_file()


def sha256_of(file: Path) -> str:
    """The checksum of a file, here or in a bucket. Raises OSError and Damaged."""
    if not file.is_file() and layout.reference_to(file).is_file():
        return Reference.read(layout.reference_to(file)).sha256
    return checksum(file)


def here(file: Path, patience_s: float = PATIENCE_S) -> Path:
    """The file, which takes the place of the reference to it, if that is newer. Raises UserError and OSError."""
    reference = layout.reference_to(file)
    if reference.is_file():
        known = Reference.read(reference)
        if not (file.is_file() and file.stat().st_size == known.bytes and checksum(file) == known.sha256):
            known.fetch(file, patience_s)
        reference.unlink()
    return file
