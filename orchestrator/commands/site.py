"""Where a command does its work: on this machine, as usual. `driver.py` has that of a cluster's driver."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.checks.reading import load_all
from orchestrator.clusters.connection import THIS_MACHINE, Connection
from orchestrator.commands.closing import close
from orchestrator.commands.sent import Sent, resume_there
from orchestrator.errors import UserError
from orchestrator.execution.run import Outcome
from orchestrator.reporting.console import Board, View, watch
from orchestrator.spec.records import Resources
from orchestrator.storage import layout
from orchestrator.storage.workspace import Workspace
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.store_address import store_for_new
from orchestrator.tracking.tracker import Left
from trainables.data import Dataset
from trainables.data.access import DataAccess


@dataclass(frozen=True)
class Site:
    """This machine."""

    cluster: Connection = THIS_MACHINE

    def data(self, workspace: Workspace) -> DataAccess:
        """The data sets of a workspace."""
        return DataAccess(workspace.data_root)

    def check(
        self, sets: Iterable[Dataset], data: DataAccess, resources: Resources, console: Console
    ) -> dict[str, Any] | None:
        """Read the data sets before anything starts. Raises UserError.

        Returns what trials are made with, if that is not what this machine has.
        """
        load_all(sets, data.root, console)

    def store(self, workspace: Workspace, folder: Path | None = None) -> str | None:
        """The address of the store of the sweep in `folder`, or of a new one; None: it is sent to none from here."""
        recorded = recorded_store(folder) if folder else None
        return workspace.tracking_uri or recorded or store_for_new(workspace.out)

    def refuse_elsewhere(self, folder: Path) -> None:
        """Raises UserError if the sweep in `folder` was sent to a cluster, and is to go on there."""
        name, out = folder.name, folder.parent
        if layout.sent_file(out, name).is_file():
            there = resume_there(name, out, Sent.read(out, name).file)
            cure = f"Go on there: {there}. To go on here, remove {layout.sent_file(out, name)}"
            raise UserError(f"{folder}: was sent to a cluster. {cure}.")

    def kept(self, folder: Path) -> AbstractContextManager[None]:
        """Inside this context the folder of a sweep or run, whose lock is held, is kept safe elsewhere too."""
        return nullcontext()

    def watch(self, board: Board, console: Console) -> View:
        """The view of a running sweep."""
        return watch(board, console)

    def close(self, console: Console, outcome: Outcome, out: Path, left: Left, json_wanted: bool) -> None:
        """Print how a sweep has ended. Raises NoResult if it has no trial that can be ranked."""
        close(console, outcome, out, left, json_wanted)


HERE = Site()
