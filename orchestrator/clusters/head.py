"""The head of a cluster as the user's machine sees it: where jobs are submitted, and how files go there and back."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from orchestrator.clusters.job_system import JobSystem
from orchestrator.storage import layout

OF_SPOOL = ("/lock", "/sent-*", ".*")  # what of a spool only the driver's machine needs; patterns of rsync
NOT_PULLED = (
    f"/{layout.DRIVER_LOCK}",
    f"/{layout.SLOTS_LOCK}",
    f"/{layout.HEADS}",
    *(f"/{layout.SPOOL}{pattern}" for pattern in OF_SPOOL[:2]),
    ".*",
)
HEAVY = (layout.CHECKPOINT, layout.PREVIOUS_CHECKPOINT)  # to resume from; a trial's best model comes home without it


class Disk(Protocol):
    """That of a head that is not this machine. Methods raise UserError."""

    def push(self, folder: Path, there: str) -> None:
        """Copy what is in a folder of this machine into a folder there."""

    def pull(self, there: str, folder: Path, exclude: Sequence[str] = ()) -> None:
        """Copy what is in a folder there into a folder of this machine, but for patterns of rsync."""


@dataclass(frozen=True)
class Head:
    """The head, or for a Ray of this machine the node here: the driver runs there and writes its files there."""

    jobs: JobSystem
    out: str
    """The folder of all sweeps there."""
    python: str
    """The Python of an environment with our packages there."""
    reopen: Callable[[], str]
    """Opens the way to it again, once the connection is lost. Returns the new address of `jobs`. Raises NoAnswer."""
    remote: Disk | None = None
    """The host, by what copies files to it and from it; None: this machine."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of a job."""
    resources: Mapping[str, float] | None = None
    """Of Ray, that place the driver; None: on the head."""
    lost: Callable[[], bool] = lambda: False
    """Whether it is certain that it is gone for good."""

    def push(self, folder: Path, there: str) -> None:
        """Copy what is in a folder of this machine into a folder there. Raises UserError."""
        if self.remote:
            self.remote.push(folder, there)
        else:
            shutil.copytree(folder, there, dirs_exist_ok=True)

    def pull(self, name: str, folder: Path, whole: bool = False) -> None:
        """Copy the sweep or run `name` into a folder of this machine; `whole`: with all checkpoints.

        Raises UserError.
        """
        if self.remote:
            self.remote.pull(f"{self.out}/{name}", folder, (*NOT_PULLED, *(() if whole else HEAVY)))

    def pull_spool(self, name: str, folder: Path) -> None:
        """Copy what a sweep has recorded for MLflow so far. Raises UserError."""
        if self.remote:
            self.remote.pull(f"{self.out}/{name}/{layout.SPOOL}", folder / layout.SPOOL, OF_SPOOL)
