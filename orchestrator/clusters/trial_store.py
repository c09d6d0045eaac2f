"""Carries the files of a sweep's trials between the driver's disk and nodes that do not share it.

It runs beside the driver, as a Ray actor, and writes to the driver's disk. `lease.py` is a node's side of it, and
`node_folder.py` trains with that. Paths are relative to the sweep's folder: no node learns another path.
"""

import os
import shutil
import threading
from pathlib import Path
from typing import Any

from orchestrator.storage import layout, locks, within_epoch
from orchestrator.storage.blobs import Reference
from orchestrator.storage.disk import host_named
from orchestrator.storage.json_files import append_whole
from trainables.common.files import remove_half_written

CALLS = 16  # that the store answers at a time
CHECKPOINTS = (layout.CHECKPOINT, f"{layout.CHECKPOINT}{layout.BLOB}")  # it is there in one of these forms
LAST = (layout.METRICS, *CHECKPOINTS)  # committed after all other files, in this order


class LeaseLost(Exception):
    """Another process has taken over the trial: what this one writes is refused."""


class TrialStore:
    """The folders of a sweep's trials on the driver's disk, for processes on other nodes. Run it as a Ray actor.

    A trial is written by the process that leased it last; writes with an older token are refused. Its files become
    visible only by `commit`: a kill at any moment leaves what a kill of a trial on this machine would.
    """

    def __init__(self, sweep: str):
        self.sweep = Path(sweep)
        locks.slot(self.sweep)  # a resumed driver waits until this process has ended
        self.tokens: dict[str, int] = {}
        self.holders: dict[str, Any] = {}  # trial -> handle of the slot that trains it
        self.lock = threading.Lock()

    @host_named("sweep")
    def lease(self, trial: str, holder: Any = None) -> dict[str, Any]:
        """Take over a trial: {"token", "files": {path in its folder: bytes}}. Older tokens are refused from now on."""
        home = self._home(trial)
        with self.lock:
            token = self.tokens[trial] = self.tokens.get(trial, 0) + 1
            self.holders[trial] = holder
            home.mkdir(parents=True, exist_ok=True)
            for folder in (home, home / layout.PICTURES):
                remove_half_written(folder)
            within_epoch.forget(home)
            files = (path for path in home.rglob("*") if path.is_file())
            return {"token": token, "files": {str(path.relative_to(home)): path.stat().st_size for path in files}}

    def locate(self, path: str) -> int | Reference:
        """The bytes of a file below the sweep's folder; or, if a bucket has it, where. Raises OSError and Damaged."""
        file = self._inside(path)
        reference = layout.reference_to(file)
        return Reference.read(reference) if reference.exists() and not file.exists() else file.stat().st_size

    @host_named("sweep")
    def read(self, path: str, offset: int, length: int) -> bytes:
        """A part of a file below the sweep's folder; fewer bytes at its end. Raises OSError."""
        with self._inside(path).open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    @host_named("sweep")
    def write(self, trial: str, token: int, name: str, offset: int, block: bytes) -> None:
        """Write a part of a file of the trial, which stays hidden until `commit`. Raises LeaseLost and OSError."""
        self._check(trial, token)
        hidden = self._hidden(trial, token, name)
        hidden.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(hidden, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as file:
            file.seek(offset)
            file.write(block)

    @host_named("sweep")
    def commit(self, trial: str, token: int, sizes: dict[str, int]) -> None:
        """Make written files visible: pictures of an epoch all at once, the checkpoint last of all.

        Raises LeaseLost and OSError.
        """
        for name, size in sizes.items():
            with self._hidden(trial, token, name).open("rb+") as file:
                if os.fstat(file.fileno()).st_size < size:
                    raise OSError(f"{name}: has not arrived whole")
                file.truncate(size)  # a longer one, whose sending failed, may have been here
                os.fsync(file.fileno())
        units = dict.fromkeys(map(unit_of, sizes))
        for unit in sorted(units, key=lambda unit: LAST.index(unit) if unit in LAST else -1):
            with self.lock:
                self._check(trial, token)
                self._show(self._home(trial) / unit, token)

    def set_aside(self, trial: str, token: int, name: str) -> None:
        """Rename a damaged checkpoint, so that it does not take the place of the one before. Raises LeaseLost."""
        file = self._home(trial) / name
        with self.lock:
            self._check(trial, token)
            file.replace(file.with_suffix(layout.DAMAGED))

    @host_named("sweep")
    def append(self, trial: str, name: str, line: str) -> None:
        """Append a line to a file of the trial. Raises OSError."""
        home = self._home(trial)
        home.mkdir(parents=True, exist_ok=True)
        append_whole(home / name, line)

    def note(self, trial: str, token: int, name: str, text: str) -> None:
        """Write a small file that is only shown, such as how far an epoch is; an empty text removes it."""
        file = self._home(trial) / name
        with self.lock:
            if self.tokens.get(trial) == token and text:
                file.write_text(text, encoding="utf-8")
            elif self.tokens.get(trial) == token:
                file.unlink(missing_ok=True)

    def holding(self) -> list[Any]:
        """The slots that hold a lease, each once."""
        with self.lock:
            return list({holder._actor_id: holder for holder in self.holders.values() if holder}.values())

    def _check(self, trial: str, token: int) -> None:
        if self.tokens.get(trial) != token:
            raise LeaseLost(f"trial {trial}: another process has taken it over")

    def _show(self, place: Path, token: int) -> None:
        hidden = place.with_name(f".{place.name}.{token}")
        for name in CHECKPOINTS if place.name in CHECKPOINTS else ():
            if (former := place.with_name(name)).exists():
                previous = place.with_name(name.replace(layout.CHECKPOINT, layout.PREVIOUS_CHECKPOINT))
                former.replace(previous)
                other_form(previous).unlink(missing_ok=True)
        if place.is_dir():  # these pictures are there
            shutil.rmtree(hidden)
        else:
            hidden.replace(place)
            other_form(place).unlink(missing_ok=True)

    def _hidden(self, trial: str, token: int, name: str) -> Path:
        unit = unit_of(name)
        self._inside(str(layout.trial_folder(Path(), trial) / name))
        place = self._home(trial) / unit
        return place.with_name(f".{place.name}.{token}") / Path(name).relative_to(unit)

    def _home(self, trial: str) -> Path:
        return self._inside(str(layout.trial_folder(Path(), trial)))

    def _inside(self, path: str) -> Path:
        """A path below the sweep's folder. Raises ValueError for one that leaves it, also by a link."""
        found = (self.sweep / path).resolve()
        strays = Path(path).is_absolute() or ".." in Path(path).parts
        if strays or self.sweep.resolve() not in found.parents:
            raise ValueError(f"{path}: is not in the sweep's folder")
        return found


def other_form(file: Path) -> Path:
    """A reference for a file, and the file for a reference: of the two only one is there."""
    return file.with_suffix("") if file.suffix == layout.BLOB else layout.reference_to(file)


def unit_of(name: str) -> str:
    """What becomes visible in one step: the folder with the pictures of an epoch, else the file itself."""
    parts = Path(name).parts
    return str(Path(*parts[:2])) if parts[0] == layout.PICTURES else name
