"""The verbs `sweep`, `resume` and `evaluate` with `--cluster`: what is checked here before it is sent there."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from orchestrator import terminal
from orchestrator.checks.read import read_plan
from orchestrator.clusters.base import RemoteCluster
from orchestrator.clusters.connection import THIS_MACHINE, ConnectedCluster
from orchestrator.clusters.options import ClusterOptions
from orchestrator.clusters.read import read_cluster
from orchestrator.errors import UserError
from orchestrator.evaluation.selection import Selection, select_evaluations
from orchestrator.storage import layout
from orchestrator.storage.workspace import Workspace
from trainables.common.roots import Root, in_bucket
from trainables.data.access import DataAccess, elsewhere


def remote(options: ClusterOptions | None) -> RemoteCluster | None:
    """The cluster on which a verb is to run; None: this machine. Raises SpecError and UserError."""
    record = read_cluster(options.file) if options else None
    if isinstance(record, RemoteCluster):
        return record
    if options and options.detach:
        raise UserError(f"{options.file}: is of kind {record.kind}, which runs here: leave out --detach.")
    return None


def data_there(workspace: Workspace) -> DataAccess:
    """The data sets on a cluster's nodes, which are not asked yet. Raises UserError for a path that is none there."""
    root = workspace.data_root
    if isinstance(root, Path) and not root.is_absolute():
        raise UserError(f"--data-root {root}: nodes need a whole path. Begin it with /, or name s3://bucket/prefix.")
    return DataAccess(root, elsewhere)


def check_room(plan, record: RemoteCluster) -> int | None:
    """How many trials train at a time; None where only the cluster itself knows. Raises UserError for too few nodes."""
    nodes = record.nodes()
    return ConnectedCluster(nodes).slots(plan.spec.resources) if nodes else None


def send_sweep(
    spec: Path, settings: tuple[str, ...], workspace: Workspace, record: RemoteCluster, options: ClusterOptions, how: "How"
) -> int:
    ...
