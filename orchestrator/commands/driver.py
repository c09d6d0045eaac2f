"""What a cluster's driver does: the verb that the user has typed elsewhere, with the trials on the cluster's nodes.

It runs as a Ray job on the head. `cluster_jobs.py` writes the file of its Job, there where the user is.
"""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator import terminal
from orchestrator.checks.read import read_plan
from orchestrator.clusters.connection import ConnectedCluster, Node
from orchestrator.clusters.growth import Growth
from orchestrator.clusters.local import ENVIRONMENT, NAMESPACE, replaced, signals_deferred
from orchestrator.commands.site import Site
from orchestrator.errors import NoResult
from orchestrator.evaluation.selection import Selection
from orchestrator.execution.run import Outcome
from orchestrator.reporting.console import Board
from orchestrator.reporting.event_log import EventLog
from orchestrator.reporting.leaderboard import misfortunes
from orchestrator.spec.records import Resources
from orchestrator.storage import layout
from orchestrator.storage.disk import TRY_AGAIN, disk_errors_reported
from orchestrator.storage.snapshots import Snapshots
from orchestrator.storage.workspace import Workspace
from orchestrator.terminal import say
from orchestrator.tracking.tracker import Left
from trainables.common.roots import root_of
from trainables.data import Dataset
from trainables.data.access import DataAccess


@dataclass(frozen=True)
class Job:
    """What a driver is to do, as plain values."""

    verb: str
    """`sweep`, `resume` or `evaluate`."""
    target: str
    """The name of the sweep or run; for `evaluate` also a trial, as SWEEP/ID."""
    out: str
    """The folder of all sweeps, on the driver's disk."""
    spec: str | None = None
    """The file of the spec, for `sweep`."""
    source: str = ""
    """Its name where the user is."""
    settings: tuple[str, ...] = ()
    """Of `--set`."""
    reuse: bool = False
    data_root: str | None = None
    tracking_uri: str | None = None
    selection: dict[str, Any] = field(default_factory=dict)
    """What `evaluate` is asked for."""
    at_most: tuple[Node, ...] = ()
    """The nodes to which the cluster may grow; none: those that it has."""
    prices: dict[str, float | None] = field(default_factory=dict)
    """Dollars an hour of each group of nodes that is billed; None: not known."""
    shares_files: bool = False
    patience: float | None = None
    """Minutes without any machine, after which a sweep ends; None: none are started while there is use for them."""
    checkpoint_minutes: float = 10.0
    store: str | None = None
    """s3://bucket/prefix that keeps the sweep."""
    again: str = ""
    """The command that goes on with the sweep where the user is."""

    def write(self, file: Path) -> None:
        """Write it to a file. Raises OSError."""
        file.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Job":
        """Read what `write` wrote."""
        values = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def drive(file: Path) -> KeyboardInterrupt | None:
    """Do the job in a file. Returns what stopped it, or None. Raises as the verb does."""
    job = Job.read(file)
    os.environ.update(ENVIRONMENT)
    import ray
    from ray._private import worker

    with replaced(worker, "listen_error_messages", no_notices), signals_deferred():
        ray.init(namespace=NAMESPACE, log_to_driver=False, logging_level="CRITICAL")
    host = socket.gethostname()
    workspace = Workspace(Path(job.out).expanduser(), root_of(job.data_root), job.tracking_uri)
    job = replace(job, verb=verb_of(job, file, workspace))
    snapshots = snapshots_of(job, workspace)
    growth = Growth(60 * job.patience) if job.patience else None
    known = (job.at_most, job.shares_files, job.checkpoint_minutes, job.again, host, job.prices)
    cluster = ConnectedCluster(*known, snapshots, growth)
    return VERBS[job.verb](job, workspace, DriverSite(cluster))


def verb_of(job: Job, file: Path, workspace: Workspace) -> str:
    """The verb to do: a batch system may start a job again, as on other nodes, and then it resumes its own sweep."""
    started = file.with_name(layout.JOB_STARTED)
    again = started.exists() and (workspace.folder(job.target) / layout.SPEC).is_file()
    started.touch(mode=0o600)
    return "resume" if job.verb == "sweep" and again else job.verb


def snapshots_of(job: Job, workspace: Workspace) -> Snapshots | None:
    """What keeps the job's sweep in its store, if it has one; its folder is restored where the store has more of it.

    Raises UserError for a store that cannot be used.
    """
    if not job.store:
        return None
    folder, tell = workspace.folder(job.target.partition("/")[0]), partial(say, terminal.console())
    snapshots = Snapshots(job.store, folder, tell)
    snapshots.stored.bucket.check()
    if job.verb == "sweep":
        snapshots.stored.refuse_another(job.again)
    else:
        with disk_errors_reported(folder, TRY_AGAIN, socket.gethostname()):
            snapshots.restore()
    return snapshots


def no_notices(*ray: Any) -> None:
    """Replaces Ray's printer of notices, such as of a lost node: the sweep itself tells of what matters to it."""


class DriverSite(Site):
    """The cluster whose Ray this process is connected to. What the user is to see goes to the job's log as events."""

    def data(self, workspace: Workspace) -> DataAccess:
        from orchestrator.execution.handshake import on_any

        return DataAccess(workspace.data_root, partial(on_any, growth=self.cluster.growth))

    def check(
        self, sets: Iterable[Dataset], data: DataAccess, resources: Resources, console: Console
    ) -> dict[str, Any] | None:
        from orchestrator.execution.handshake import check_bucket, check_nodes

        made_with = check_nodes(sets, data.root, resources, partial(say, console), self.cluster.growth)
        if self.cluster.snapshots and not self.cluster.shares_files:
            check_bucket(str(self.cluster.snapshots.stored.place))
        return made_with

    def store(self, workspace: Workspace, folder: Path | None = None) -> str | None:
        """The one that the user gave, if this machine is to send to it: else the user's machine does."""
        return workspace.tracking_uri

    def refuse_elsewhere(self, folder: Path) -> None:
        """It is here that it goes on."""

    @contextmanager
    def kept(self, folder: Path) -> Iterator[None]:
        """Where the cluster has a store, snapshots of the folder are made there; the last one at the end."""
        if self.cluster.snapshots is None:
            yield
            return
        self.cluster.snapshots.begin()
        try:
            yield
        finally:
            self.cluster.snapshots.close()

    def watch(self, board: Board, console: Console) -> EventLog:
        return EventLog(board, sys.stdout)

    def close(self, console: Console, outcome: Outcome, out: Path, left: Left, json_wanted: bool) -> None:
        """Print nothing of the results: they are shown where the user is."""
        if not outcome.interrupted and (reasons := misfortunes(outcome.results)):
            raise NoResult(*reasons)


def _sweep(job: Job, workspace: Workspace, site: DriverSite) -> KeyboardInterrupt | None:
    from orchestrator.commands.sweep import sweep

    plan = read_plan(Path(job.spec).expanduser(), job.settings, site.data(workspace), layout.TAKEN)
    return sweep(plan, workspace, Path(job.source), False, job.reuse, site)


def _resume(job: Job, workspace: Workspace, site: DriverSite) -> KeyboardInterrupt | None:
    from orchestrator.commands.resume import resume

    return resume(job.target, workspace, False, site)


def _evaluate(job: Job, workspace: Workspace, site: DriverSite) -> KeyboardInterrupt | None:
    from orchestrator.commands.evaluate import evaluate
    from orchestrator.reporting.comparison import TABLE

    return evaluate(job.target, workspace, Selection(**job.selection), TABLE, site)


VERBS: dict[str, Callable[[Job, Workspace, DriverSite], KeyboardInterrupt | None]] = {
    "sweep": _sweep,
    "resume": _resume,
    "evaluate": _evaluate,
}
