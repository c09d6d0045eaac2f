"""A node's side of the TrialStore: the right to write the files of one trial, and how files travel."""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ray
from ray.exceptions import ActorDiedError, RayTaskError

from orchestrator.clusters.local import NAMESPACE
from orchestrator.storage import layout
from orchestrator.storage.blobs import Reference

BLOCK_BYTES = 4 * 2**20  # of a file, in one call
IN_FLIGHT = 4  # blocks that are on their way at a time


class StoreLost(Exception):
    """The process that keeps the trials' files is gone: no trial can go on without it."""


class Lease:
    """The right of this process to write the files of one trial into the driver's TrialStore.

    `files` holds the size of each file that the trial has, by its path. `slot` is the actor handle of the slot that
    trains it. Methods raise LeaseLost once another process has leased the trial, StoreLost, and OSError of either disk.
    """

    def __init__(self, store: str, trial: str, slot: Any = None):
        self.store, self.trial = store_of(store), trial
        known = answer(self.store.lease.remote(trial, slot))
        self.token, self.files = known["token"], known["files"]

    def fetch(self, name: str, to: Path) -> None:
        """Fetch a file of the trial into a folder."""
        fetch(self.store, str(layout.trial_folder(Path(), self.trial) / name), to / name)

    def send(self, folder: Path, names: Iterable[str]) -> None:
        """Send files in `folder`, and make them visible."""
        sizes = {name: self._write(folder, name) for name in names}
        if sizes:
            answer(self.store.commit.remote(self.trial, self.token, sizes))

    def set_aside(self, name: str) -> None:
        """Rename a damaged checkpoint of the trial."""
        answer(self.store.set_aside.remote(self.trial, self.token, name))

    def append(self, name: str, line: str) -> None:
        """Append a line to a file of the trial."""
        answer(self.store.append.remote(self.trial, name, line))

    def note(self, name: str, text: str) -> None:
        """Send a small file that is only shown. Does not wait."""
        self.store.note.remote(self.trial, self.token, name, text)

    def _write(self, folder: Path, name: str) -> int:
        """Send a file, which stays hidden. Returns its size."""
        waiting, size = deque(), 0
        with (folder / name).open("rb") as file:
            for block in blocks(file):
                if len(waiting) == IN_FLIGHT:
                    answer(waiting.popleft())
                waiting.append(self.store.write.remote(self.trial, self.token, name, size, block))
                size += len(block)
        for call in waiting:
            answer(call)
        return size


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """The content of a file in blocks: one, which is empty, if it has none."""
    yield file.read(BLOCK_BYTES)
    while block := file.read(BLOCK_BYTES):
        yield block


def fetch(store: Any, path: str, to: Path) -> None:
    """Fetch a file below the sweep's folder, by its path there; from a bucket, if that has it.

    Raises OSError, StoreLost, and what `Reference.fetch` does.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    located = answer(store.locate.remote(path))
    if isinstance(located, Reference):
        located.fetch(to)
    else:
        _read(store, path, located, to)


def _read(store: Any, path: str, size: int, to: Path) -> None:
    """Fetch a file of so many bytes from the driver's disk."""
    waiting = deque()
    with to.open("wb") as file:
        for offset in range(0, size, BLOCK_BYTES):
            if len(waiting) == IN_FLIGHT:
                file.write(answer(waiting.popleft()))
            waiting.append(store.read.remote(path, offset, min(BLOCK_BYTES, size - offset)))
        for call in waiting:
            file.write(answer(call))


def store_of(name: str) -> Any:
    """The handle of the TrialStore of this name. Raises StoreLost."""
    try:
        return ray.get_actor(name, NAMESPACE)
    except ValueError:
        raise StoreLost(f"the store of trials {name} is gone") from None


def answer(call: Any) -> Any:
    """What a call of the store returns. Raises its exception as it was raised there, and StoreLost."""
    try:
        return ray.get(call)
    except RayTaskError as error:
        raise error.cause from None
    except ActorDiedError as error:
        raise StoreLost(f"the store of trials is gone: {error}") from None
