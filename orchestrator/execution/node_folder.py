"""A trial's folder on a node that does not share the driver's disk: a copy, sent home by and by.

Everything that another process may go on from is sent when a trial pauses or ends, and every `checkpoint_minutes` in
between. What is at home may be behind the journal: then known epochs are trained again, to the same numbers. It is
never ahead of the journal by more than one epoch, because an epoch is reported right after it was sent.
"""

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.clusters.lease import Lease
from orchestrator.errors import UserError
from orchestrator.storage import blobs, layout
from orchestrator.storage.bucket import Damaged
from orchestrator.storage.disk import host_named
from orchestrator.storage.trial_folder import WITHOUT, TrialFolder
from trainables.train import Report

HERE_ONLY = (layout.PREVIOUS_CHECKPOINT, layout.WITHIN_EPOCH)  # at home the store makes the first of these itself
SUFFIXES_HERE = (layout.DAMAGED, layout.BLOB)


class NodeFolder(TrialFolder):
    """The folder of a trial of a slot's `config`, the only one below the folder `scratch` of this process."""

    def __init__(self, config: dict[str, Any], scratch: Path, slot: Any = None):
        super().__init__(layout.trial_folder(scratch, config["id"]), **config["objective"])
        self.lease: Lease | None = None  # until it is opened
        self.store, self.slot = config["store"], slot
        self.blobs = config.get("blobs")  # where weights are uploaded, so that none pass the driver's node
        self.every_s, self.last_epoch = 60 * config["checkpoint_minutes"], config["last_epoch"]
        self.noted = False  # at home, how far the running epoch is
        self.sent: dict[str, tuple[int, int]] = {}  # name -> the stamp of what is at home

    @host_named("path")
    def open(self) -> Path | None:
        """Take over the trial from whoever trained it, and fetch what there is to resume from."""
        self.lease = Lease(self.store, self.path.name, self.slot)
        shutil.rmtree(self.path.parent, ignore_errors=True)  # with what trials before it have left
        self.path.mkdir(parents=True)
        for name in {layout.METRICS, layout.DIVERGED} & self.lease.files.keys():
            self.lease.fetch(name, self.path)
        for name in self.lease.files:  # pictures that are at home are not drawn again
            if Path(name).parts[0] == layout.PICTURES:
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        self.sent, self.sent_s = {}, time.monotonic()
        checkpoint = super().open()
        self.sent = self._stamps() if checkpoint == self.checkpoint else {}
        return checkpoint

    def _checkpoints(self) -> Iterator[Path]:
        for kept in (self.checkpoint, self.previous):
            for name in (kept.name, layout.reference_to(kept).name):
                if name in self.lease.files:
                    try:
                        self.lease.fetch(kept.name, self.path)
                        yield kept
                    except Damaged as error:
                        self.notice = f"{error} {WITHOUT}"
                    self.lease.set_aside(name)  # it was damaged

    @host_named("path")
    def keep(self, report: Report, draw: bool) -> None:
        super().keep(report, draw)
        self._forget_note()
        if report.epoch == self.last_epoch or time.monotonic() - self.sent_s >= self.every_s:
            self.settle()

    @host_named("path")
    def fit(self) -> None:
        best = (layout.BEST, layout.reference_to(self.path / layout.BEST).name)
        if not (self.path / layout.BEST).exists() and any(name in self.lease.files for name in best):
            self.lease.fetch(layout.BEST, self.path)  # another node trained its epoch
            self.sent[layout.BEST] = self._stamps()[layout.BEST]
        super().fit()
        self._send([layout.FITTED])

    @host_named("path")
    def draw(self) -> None:
        super().draw()
        self._send(name for name in self._stamps() if Path(name).parts[0] == layout.PICTURES)

    @host_named("path")
    def settle(self) -> None:
        if self.lease:
            self._forget_note()
            self._send(self._stamps())
        self.sent_s = time.monotonic()

    def leave(self) -> None:
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def append(self, name: str, line: str) -> None:
        self.lease.append(name, line)

    def note(self, share: float, seconds: float) -> None:
        self.noted = True
        self.lease.note(layout.WITHIN_EPOCH, json.dumps([len(self.lines) + 1, share, seconds]))

    def _forget_note(self) -> None:
        """Remove the note at home: the epoch is over."""
        if self.noted:
            self.lease.note(layout.WITHIN_EPOCH, "")
            self.noted = False

    def _send(self, names: Iterable[str]) -> None:
        stamps = self._stamps()
        new = [name for name in names if self.sent.get(name) != stamps[name]]
        self.lease.send(self.path, [self._light(name) for name in new])
        self.sent |= {name: stamps[name] for name in new}

    def _light(self, name: str) -> str:
        """What is sent of a file: of weights only where the bucket has them, unless it does not take them."""
        if self.blobs and name in layout.WEIGHTS:
            try:
                return blobs.upload(self.path / name, self.blobs).name
            except UserError as error:
                self.notice = f"{error} Its {name} is sent to the driver's disk."
        return name

    def _stamps(self) -> dict[str, tuple[int, int]]:
        """The files of this folder that belong at home, by their path in it -> inode and time of the last change."""
        found = {}
        for path in self.path.rglob("*"):
            name = path.relative_to(self.path)
            stays = str(name) in HERE_ONLY or path.suffix in SUFFIXES_HERE or any(p[0] == "." for p in name.parts)
            if path.is_file() and not stays:
                status = path.stat()
                found[str(name)] = (status.st_ino, status.st_mtime_ns)
        return found
