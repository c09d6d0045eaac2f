"""The user's side of a sweep on a cluster: its folder here, its store here, and what is shown of it here."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from orchestrator.clusters.head import HEAVY, Head
from orchestrator.commands.closing import close
from orchestrator.commands.sent import resume_there
from orchestrator.errors import UserError
from orchestrator.execution.run import Outcome
from orchestrator.shell import command
from orchestrator.storage import layout, locks
from orchestrator.storage.blobs import here
from orchestrator.storage.stored_sweep import StoredSweep
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.results import read_results
from orchestrator.terminal import say
from orchestrator.tracking.client import prepare_store
from orchestrator.tracking.identity import is_recorded
from orchestrator.tracking.spool import SpoolInUse
from orchestrator.tracking.store_address import is_server, store_for_new
from orchestrator.tracking.tracker import NOTHING_LEFT, Left, sync

FETCH_S = 10.0  # between fetches of what a running sweep records for MLflow
OTHERS_S = 120.0  # for another command that looks at the same sweep to send what it has fetched


@dataclass(frozen=True)
class Home:
    """Of the sweep or run `name`."""

    workspace: Workspace
    name: str
    console: Console
    cluster_file: Path
    json_wanted: bool = False

    @property
    def folder(self) -> Path:
        return self.workspace.folder(self.name)

    def at(self, head: Head) -> "Home":
        """The same; where the head's disk is this machine's, with the folder in which its driver writes."""
        return self if head.remote else replace(self, workspace=replace(self.workspace, out=Path(head.out)))

    def refuse_another(self) -> None:
        """Raises UserError if the folder holds something, which what comes home would be mixed with."""
        if self.folder.is_dir() and any(self.folder.iterdir()):
            raise UserError(f"{self.folder}: holds another sweep or run. Choose another --name or --out, or remove it.")

    def pull(self, head: Head, whole: bool = False) -> None:
        """Bring results, pictures and best models here; `whole`: also what trials resume from. Raises UserError."""
        head.pull(self.name, self.folder, whole)
        self._bring_weights(whole)

    def pull_snapshot(self, store: str, whole: bool = False) -> str:
        """The same from the newest snapshot in the cluster's store. Returns which one that is. Raises UserError."""
        stored = StoredSweep(store, self.name)
        manifest, damaged = stored.fetch(self.folder, lambda path: whole or Path(path).name not in HEAVY)
        for line in damaged:
            say(self.console, f"note         {line} An earlier snapshot is used.")
        self._bring_weights(whole)
        return f"{stored.place}/{manifest.name}"

    def _bring_weights(self, whole: bool) -> None:
        """Bring best models here that are in the cluster's store, `whole`: all weights. Say if that cannot be done.

        Where the driver itself works in this folder, it has its own use for the references: they stay.
        """
        names = layout.WEIGHTS if whole else (layout.BEST,)
        files = [file for name in names for file in sorted(self.folder.glob(f"{layout.TRIALS}/*/{name}{layout.BLOB}"))]
        if not files:
            return
        try:
            with locks.driver(self.folder):
                for file in files:
                    here(file.with_suffix(""), patience_s=0.0)
        except UserError as error:
            say(self.console, f"note         the models stay in the cluster's store: {error}")

    @contextmanager
    def tracking(self, head: Head) -> Iterator[None]:
        """Inside this context MLflow's store here is sent what the sweep records, as it comes."""
        if not head.remote or is_server(self.workspace.tracking_uri or ""):  # the driver sends it itself
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._send_until, args=(over, head), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def show(self, verb: str, interrupted: bool) -> None:
        """Send MLflow what is left, and print what `verb` has found. Raises NoResult and UserError."""
        left = self.send()
        if verb != "evaluate" and (self.folder / layout.RESULTS).is_file():  # its driver has printed it
            results = read_results(self.workspace.out, self.name)
            outcome = Outcome(self.folder, results, KeyboardInterrupt() if interrupted else None)
            close(self.console, outcome, self.workspace.out, left, self.json_wanted, self.resume())

    def send(self) -> Left:
        """Send MLflow what it lacks, once no other command here does. Returns what is left."""
        if not is_recorded(self.folder):
            return NOTHING_LEFT
        uri = self.workspace.tracking_uri or store_for_new(self.workspace.out)
        prepare_store(uri)
        deadline = time.monotonic() + OTHERS_S
        while True:
            try:
                return sync(self.folder, uri)
            except SpoolInUse:
                if time.monotonic() > deadline:
                    raise
            time.sleep(1.0)

    def resume(self) -> str:
        """The command that goes on with the sweep on its cluster."""
        return resume_there(self.name, self.workspace.out, self.cluster_file)

    def command(self, verb: str) -> str:
        """The command that applies a verb of `vaeorch cluster` to the sweep."""
        return command(f"cluster {verb}", self.name, self.workspace.out)

    def _send_until(self, over: threading.Event, head: Head) -> None:
        while not over.wait(FETCH_S):
            with suppress(UserError, OSError):  # it is tried again, and at the end
                head.pull_spool(self.name, self.folder)
                self.send()
