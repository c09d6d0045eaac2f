"""A sweep as a bucket holds it, below STORE/NAME: snapshots of its folder, of which each is a state to go on from.

    heads/000002.json                which driver keeps the snapshots: the one with the highest number, from then on
    blobs/000002/SHA256              the content of a file, uploaded by that driver
    manifests/000002-00000007.json   a snapshot: which blob each file of the folder had then

A snapshot is there once its manifest is: that is written last, and in one step. `snapshots.py` makes them.
"""

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.errors import UserError
from orchestrator.storage.bucket import Bucket, Damaged, checksum
from orchestrator.storage.json_files import holds

HEADS, MANIFESTS, BLOBS = "heads/", "manifests/", "blobs/"
FORMAT = 1
AT_ONCE = 8  # transfers
KEPT = 3  # snapshots; older ones are removed
UNNAMED_S = 3600.0  # for which a blob that no snapshot names is kept: it may be of one that is being made


@dataclass(frozen=True)
class KeptFile:
    """A file of a snapshot."""

    blob: str
    """The object with its content."""
    bytes: int
    refers: str | None = None
    """The object with the weights of a trial to which the file refers."""

    @property
    def sha256(self) -> str:
        return PurePosixPath(self.blob).name


@dataclass(frozen=True)
class Manifest:
    """A snapshot of a sweep's folder."""

    head: int
    """The number of the driver that made it."""
    number: int
    """Counts its snapshots."""
    files: dict[str, KeptFile]
    """By their path in the folder."""

    @property
    def name(self) -> str:
        return f"{MANIFESTS}{self.head:06d}-{self.number:08d}.json"

    def written(self) -> bytes:
        known = {"format": FORMAT, "head": self.head, "number": self.number, "time": time.time()}
        return json.dumps(known | {"files": {path: asdict(file) for path, file in self.files.items()}}).encode()

    @classmethod
    def read(cls, name: str, text: bytes) -> "Manifest":
        """What `written` wrote. Raises Damaged."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not holds(found, {"format": int, "head": int, "number": int, "files": dict}) or found["format"] != FORMAT:
            raise Damaged(f"{name}: is damaged: it holds no snapshot of this version.")
        for path, file in found["files"].items():
            if not holds(file, {"blob": str, "bytes": int}) or PurePosixPath(path).is_absolute() or ".." in path:
                raise Damaged(f"{name}: is damaged at {path}.")
        files = {
            path: KeptFile(file["blob"], file["bytes"], file.get("refers")) for path, file in found["files"].items()
        }
        return cls(found["head"], found["number"], files)

    def names(self) -> set[str]:
        """The objects that it needs."""
        files = self.files.values()
        return {file.blob for file in files} | {file.refers for file in files if file.refers}


class StoredSweep:
    """The sweep or run `name` below s3://bucket/prefix. Methods raise UserError."""

    def __init__(self, store: str, name: str):
        self.bucket = Bucket(f"{store.rstrip('/')}/{name}")
        self.place = self.bucket.place

    def refuse_another(self, again: str) -> None:
        """Raises UserError, with `again` (a command) as the cure, if there is a sweep of this name already."""
        if self.bucket.names(HEADS) or self.bucket.names(MANIFESTS):
            cure = f"Go on with it: {again}; or choose another --name or store, or remove it."
            raise UserError(f"{self.place}: holds another sweep. {cure}")

    def head(self) -> int:
        """The number of the driver that keeps the snapshots now; 0: none has begun."""
        return max(map(_number, self.bucket.names(HEADS)), default=0)

    def head_id(self) -> str | None:
        """The id with which that driver has claimed the sweep."""
        number = self.head()
        try:
            found = json.loads(self.bucket.read(_head_name(number))) if number else None
        except (Damaged, ValueError):
            return None
        return found.get("id") if isinstance(found, dict) else None

    def claim(self, own: str) -> int:
        """Make the driver with the id `own` the one that keeps the snapshots. Returns its number."""
        facts = json.dumps({"id": own, "host": socket.gethostname(), "time": time.time()}).encode()
        while True:
            number = self.head() + 1
            if self.bucket.write_new(_head_name(number), facts):
                return number

    def manifests(self) -> list[str]:
        """The names of the snapshots, the newest first: those of a later driver count as newer."""
        return sorted(self.bucket.names(MANIFESTS), reverse=True)

    def manifest(self, name: str) -> Manifest:
        """Raises Damaged."""
        return Manifest.read(f"{self.place}/{name}", self.bucket.read(name))

    def fetch(self, folder: Path, wanted: Callable[[str], bool] = lambda path: True) -> tuple[Manifest, list[str]]:
        """Bring the files of the newest whole snapshot into a folder. Returns it, and a line for each damaged one.

        Raises OSError, and UserError if none is whole.
        """
        damaged: list[str] = []
        for name in self.manifests():
            try:
                manifest = self.manifest(name)
                self._fetch_all({path: file for path, file in manifest.files.items() if wanted(path)}, folder)
                return manifest, damaged
            except Damaged as error:
                damaged.append(str(error))
        raise UserError(*damaged, f"{self.place}: has no whole snapshot of the sweep.")

    def _fetch_all(self, files: dict[str, KeptFile], folder: Path) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [
                pool.submit(self.bucket.fetch, file.blob, folder / path, file.sha256)
                for path, file in files.items()
                if not _has(folder / path, file)
            ]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def remove_old(self) -> None:
        """Remove all snapshots but the newest ones. Only the driver that keeps them may do so."""
        self.bucket.remove(self.manifests()[KEPT:])

    def remove_unnamed(self) -> None:
        """Remove blobs that no snapshot names, and that are no longer new. Only the driver that keeps them may."""
        before = datetime.now(UTC) - timedelta(seconds=UNNAMED_S)
        old = [blob for blob, entry in self.bucket.names(BLOBS).items() if entry.changed < before]
        kept: set[str] = set()
        for name in self.manifests() if old else ():
            try:
                kept |= self.manifest(name).names()
            except Damaged:  # nobody can go on from it
                continue
        self.bucket.remove(blob for blob in old if blob not in kept)


def blobs_of(head: int) -> str:
    """Where the blobs of a driver are. Each has its own, so that none removes what another one has just uploaded."""
    return f"{BLOBS}{head:06d}"


def _has(path: Path, kept: KeptFile) -> bool:
    """Whether a file is what a snapshot holds."""
    return path.is_file() and path.stat().st_size == kept.bytes and checksum(path) == kept.sha256


def _head_name(number: int) -> str:
    return f"{HEADS}{number:06d}.json"


def _number(name: str) -> int:
    digits: Any = PurePosixPath(name).stem
    return int(digits) if digits.isdigit() else 0
