"""Keeps the folder of a sweep in a bucket while its driver runs, so that another head can go on when this one is lost.

Between two steps of a sweep the driver calls `due`. Once in INTERVAL_S that holds the folder still (`frozen.py`), and a
thread uploads what is new. `restore` brings the newest snapshot back. `stored_sweep.py` says what is in the bucket.
"""

import hashlib
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.storage import layout, locks
from orchestrator.storage.blobs import Reference
from orchestrator.storage.bucket import Damaged, checksum
from orchestrator.storage.frozen import Stamp, freeze, grown_part
from orchestrator.storage.json_files import append_whole
from orchestrator.storage.stored_sweep import AT_ONCE, UNNAMED_S, KeptFile, Manifest, StoredSweep, blobs_of
from trainables.common.files import remove_half_written

INTERVAL_S = 60.0  # between snapshots


class Snapshots:
    """Of the sweep or run in `folder`, in the bucket's folder `store`. Only its driver makes them.

    `say` receives lines for the user, in the thread of whoever calls a method.
    """

    def __init__(self, store: str, folder: Path, say: Callable[[str], None]):
        self.stored, self.folder, self.say = StoredSweep(store, folder.name), folder, say
        self.head = self.number = 0
        self.made_s = self.removed_s = float("-inf")
        self.known: dict[str, tuple[Stamp, KeptFile]] = {}  # what the bucket has of the folder's files
        self.blobs: dict[str, str] = {}  # SHA-256 -> an object with that content which is safe from removal
        self.thread = threading.Thread()  # of the upload that is running, if one is
        self.trouble: Exception | None = None  # why the last snapshot is not in the bucket
        self.told, self.replaced = False, False

    def restore(self) -> None:
        """Bring the newest snapshot into the folder, unless that has what came after it. Raises UserError and OSError.

        A folder that another head has gone on from is set aside.
        """
        folder, stored = self.folder, self.stored
        if not stored.manifests() or (folder.is_dir() and stored.head_id() in _own_ids(folder)):
            return
        beside = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            beside.mkdir(parents=True)
            _claimed(stored, beside)  # a head that goes on elsewhere removes nothing from here on
            manifest, damaged = stored.fetch(beside)
            for line in damaged:
                self.say(f"note         {line} An earlier snapshot is used.")
            for path in [path for path in beside.rglob("*") if path.is_file()]:
                if str(path.relative_to(beside)) not in (layout.HEADS, *manifest.files):  # of a damaged one
                    path.unlink()
            self._set_aside()
            beside.replace(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self.say(f"restored     {folder} from {stored.place}/{manifest.name}")

    def _set_aside(self) -> None:
        """Rename the folder, if there is one. Raises UserError if a driver works in it."""
        if not self.folder.is_dir() or not any(self.folder.iterdir()):
            return
        other = self.folder.with_name(f"{self.folder.name}-before-{secrets.token_hex(4)}")
        with locks.driver(self.folder):
            self.folder.replace(other)
        self.say(f"note         another head has gone on with the sweep: what was in {self.folder} is in {other} now")

    def begin(self) -> None:
        """Become the driver that makes the snapshots. Raises UserError. The folder's lock is held."""
        remove_half_written(self.folder)
        self.head = _claimed(self.stored, self.folder)
        for name in self.stored.manifests()[:1]:
            with suppress(Damaged):  # then all is uploaded again
                self.blobs = {file.sha256: file.blob for file in self.stored.manifest(name).files.values()}

    def due(self) -> None:
        """Begin a snapshot, if it is time for one and no other is on its way. What fails is told, and tried again.

        Raises UserError if another driver has taken the sweep over.
        """
        if self.thread.is_alive():
            return
        if self.replaced:
            raise UserError(f"{self.stored.place}: another head goes on with this sweep. This one has ended.")
        self._tell()
        if time.monotonic() - self.made_s >= INTERVAL_S:
            self.made_s = time.monotonic()
            if (found := self._frozen()) is not None:
                self.thread = threading.Thread(target=self._keep, args=(found,), daemon=True)
                self.thread.start()

    def close(self) -> None:
        """Make the last snapshot; say what the bucket lacks if that fails."""
        if self.thread.is_alive():
            self.thread.join()
        if self.replaced or not self.head:
            return
        if (found := self._frozen()) is not None:
            self._keep(found)
        if self.trouble:
            place = f"{socket.gethostname()}:{self.folder}"
            self.say(f"unsaved      {place}: its last state is not in {self.stored.place}: {self.trouble}")

    def _tell(self) -> None:
        """Say once that snapshots fail, and once that they are made again."""
        if self.trouble and not self.told:
            self.say(f"unsaved      no snapshot could be made, which is tried again: {self.trouble}")
        elif self.told and not self.trouble:
            self.say("unsaved      nothing any more: snapshots are made again")
        self.told = self.trouble is not None

    @property
    def place(self) -> str:
        """Where nodes upload the weights of trials themselves: s3://bucket/..."""
        return f"{self.stored.place}/{blobs_of(self.head)}"

    @property
    def _links(self) -> Path:
        return self.folder / f".snapshot.{os.getpid()}"

    def _frozen(self) -> dict[str, Stamp] | None:
        """The folder's files; None if they cannot be held, as on a full disk."""
        try:
            self._links.mkdir()
            return freeze(self.folder, self._links, {name: stamp for name, (stamp, _) in self.known.items()})
        except OSError as error:
            self.trouble = error
            shutil.rmtree(self._links, ignore_errors=True)
            return None

    def _keep(self, found: dict[str, Stamp]) -> None:
        """Upload what is new in the files found, then the manifest. Never raises: see `trouble`."""
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                kept = dict(zip(found, pool.map(self._kept, found, found.values()), strict=True))
            if self.stored.head() != self.head:
                self.replaced = True
                return
            manifest = Manifest(self.head, self.number + 1, kept)
            self.stored.bucket.write(manifest.name, manifest.written())
            self.number += 1
            self.known = {name: (stamp, kept[name]) for name, stamp in found.items()}
            self.blobs = {file.sha256: file.blob for file in kept.values()}
            self._remove_old()
            self.trouble = None
        except Exception as error:  # any kind: it is told, and the sweep goes on
            self.trouble = error
        finally:
            shutil.rmtree(self._links, ignore_errors=True)

    def _kept(self, name: str, stamp: Stamp) -> KeptFile:
        """The file as the bucket has it, uploaded if it did not have it yet."""
        known, kept = self.known.get(name, (None, None))
        if known == stamp:
            return kept
        link = self._links / name
        part = grown_part(link, stamp)
        digest = checksum(link) if part is None else hashlib.sha256(part).hexdigest()
        size = stamp.bytes if part is None else len(part)
        if digest not in self.blobs:
            blob = f"{blobs_of(self.head)}/{digest}"
            self.stored.bucket.send(link, blob) if part is None else self.stored.bucket.write(blob, part)
            self.blobs[digest] = blob
        return KeptFile(self.blobs[digest], size, self._referred(link))

    def _referred(self, link: Path) -> str | None:
        """The object of this sweep to which a file refers, if it does."""
        if link.suffix != layout.BLOB:
            return None
        place, blob = f"{self.stored.place}/", Reference.read(link).blob
        return blob.removeprefix(place) if blob.startswith(place) else None

    def _remove_old(self) -> None:
        self.stored.remove_old()
        if time.monotonic() - self.removed_s >= UNNAMED_S:
            self.stored.remove_unnamed()
            self.removed_s = time.monotonic()


def _own_ids(folder: Path) -> list[str]:
    """The ids with which drivers of this folder have claimed the sweep."""
    file = folder / layout.HEADS
    return file.read_text(encoding="utf-8").split() if file.is_file() else []


def _claimed(stored: StoredSweep, folder: Path) -> int:
    """Claim the sweep for the drivers of a folder. Returns the number of the claim."""
    own = secrets.token_hex(8)
    append_whole(folder / layout.HEADS, own)
    return stored.claim(own)
