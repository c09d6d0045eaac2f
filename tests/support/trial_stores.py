"""A TrialStore without Ray: it is called in this process, as a node would call it."""

from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clusters import lease as lease_module
from orchestrator.clusters.trial_store import TrialStore

BLOCK = 1000  # bytes that are written at a time


class Handle:
    """In the place of the actor's handle. `calls` has what was called, with its values."""

    def __init__(self, store: TrialStore):
        self.store, self.calls = store, []

    def __getattr__(self, name: str) -> Any:
        return Method(self, name)

    def count(self, name: str) -> int:
        return sum(called == name for called, _ in self.calls)

    def sent(self) -> list[set[str]]:
        """The names of the files of each commit."""
        return [set(values[2]) for name, values in self.calls if name == "commit"]


class Method:
    """One of its methods."""

    def __init__(self, handle: Handle, name: str):
        self.handle, self.name = handle, name

    def remote(self, *values) -> Future:
        call = Future()
        self.handle.calls.append((self.name, values))
        try:
            call.set_result(getattr(self.handle.store, self.name)(*values))
        except Exception as error:  # any kind: it is raised where the answer is asked for
            call.set_exception(error)
        return call


def reachable(store: TrialStore, patch: pytest.MonkeyPatch) -> Handle:
    """What leases are made with from here on."""
    handle = Handle(store)
    patch.setattr(lease_module, "store_of", lambda name: handle)
    patch.setattr(lease_module, "answer", Future.result)
    return handle


def write(store: TrialStore, trial: str, token: int, folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Write files of a folder, in blocks, the last ones first. Returns their sizes."""
    sizes = {}
    for name in names:
        data = (folder / name).read_bytes()
        for offset in reversed(range(0, max(1, len(data)), BLOCK)):
            store.write(trial, token, name, offset, data[offset : offset + BLOCK])
        sizes[name] = len(data)
    return sizes


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of the files of a folder that can be seen, by their path in it."""
    paths = ((path, path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {str(name): path.read_bytes() for path, name in paths if not any(part[0] == "." for part in name.parts)}
