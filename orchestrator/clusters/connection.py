"""Where a sweep's trials run: on this machine, or on the cluster whose Ray this process is connected to.

A command makes one of the two and hands it to all that counts, places or runs trials.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.clusters.cost import check_known
from orchestrator.clusters.growth import Growth
from orchestrator.clusters.local import RayLost, check_ray, private_ray
from orchestrator.clusters.resources import count_slots, cpus, gpus
from orchestrator.clusters.scratch import scratch_folder
from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.storage.snapshots import Snapshots

NODE_LOST = ("its node has died", "node was terminated", "NodeDiedError", "ActorUnavailableError")  # Ray's words

NODE_GROUP = "ray.io/node-group"  # Ray's label of a node: what it is called in the launcher's file

Node = dict[str, float]
"""The `cpus` and `gpus` of a node."""


class Connection(ABC):
    """The nodes on which trials may run, and the Ray that reaches them."""

    shares_files: bool
    checkpoint_minutes: float
    host = ""
    """The name of this machine, where the user is at another."""

    @abstractmethod
    def nodes(self, gpus_used: bool) -> list[Node]:
        """The nodes on which trials may run. Where no GPUs are used, they need not be looked for."""

    @abstractmethod
    def ray(self, gpus_used: bool, dashboard: bool, cure: str) -> AbstractContextManager[Path]:
        """Inside this context Ray is connected. Yields a scratch folder of this process. Raises UserError, with `cure`.

        With `dashboard` a private Ray answers queries about its actors.
        """

    def check(self) -> None:  # noqa: B027 (nothing to do for most)
        """Raises RayLost if Ray can do nothing any more. A cluster's Ray ends its drivers then by itself."""

    def step_ended(self) -> None:  # noqa: B027 (nothing to do for most)
        """Called when all that has happened so far is in the sweep's folder, and before anything else happens there.

        Raises UserError if the sweep must not go on here.
        """

    def blobs(self) -> dict[str, str]:
        """Where nodes upload the weights of trials, if not to the driver's disk: {"blobs": s3://...}, or nothing."""
        return {}

    def rows(self, trials: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """The nodes that are alive, for the user: name, cpus, gpus, how many are busy, and which trials are there.

        `trials` has the addresses of the nodes on which each trial runs. On this machine alone there is nothing to say.
        """
        return []

    def usd_per_hour(self) -> float:
        """What the machines that are up cost. Raises UserError where nobody knows."""
        return 0.0

    def resume(self, folder: Path) -> str:
        """The command that goes on with the sweep in a folder, typed where the user is."""
        return command_for("resume", folder)

    def slots(self, resources: Any) -> int:
        """How many trials can train at a time with a spec's `resources`. Raises UserError where there is no room."""
        return count_slots(resources, self.nodes(resources.gpus_per_worker > 0))


class ThisMachine(Connection):
    """This machine alone. Its Ray is private, and starts when it is needed."""

    shares_files = True
    checkpoint_minutes = 0.0

    def nodes(self, gpus_used: bool) -> list[Node]:
        return [{"cpus": cpus(), "gpus": gpus() if gpus_used else 0}]

    @contextmanager
    def ray(self, gpus_used: bool, dashboard: bool, cure: str) -> Iterator[Path]:
        with private_ray(gpus_used, dashboard, cure) as scratch:
            yield scratch

    def check(self) -> None:
        check_ray()


@dataclass(frozen=True)
class ConnectedCluster(Connection):
    """The cluster whose Ray this process is connected to already."""

    at_most: tuple[Node, ...] = ()
    """The nodes that it may grow to; none: those that it has now."""
    shares_files: bool = False
    """Whether all nodes see the driver's files under the same paths."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints that are sent to the driver, where files are not shared."""
    again: str = ""
    """The command that goes on with this sweep where the user is; "": that of this machine."""
    host: str = ""
    prices: Mapping[str, float | None] = field(default_factory=dict)
    """Dollars an hour of each group of nodes that is billed, by Ray's label of it; None: not known."""
    snapshots: Snapshots | None = None
    """Of the sweep's folder, where the cluster has a store."""

    def step_ended(self) -> None:
        if self.snapshots:
            self.snapshots.due()

    def blobs(self) -> dict[str, str]:
        return {"blobs": self.snapshots.place} if self.snapshots else {}

    growth: Growth | None = None
    """Looks whether it gets its machines, if it is one that grows."""

    def check(self) -> None:
        """Raises ClusterFailed if there is no machine any more, and none can be had."""
        if self.growth:
            self.growth.look()

    def nodes(self, gpus_used: bool) -> list[Node]:
        return list(self.at_most) or alive_nodes()

    def usd_per_hour(self) -> float:
        import ray

        check_known(self.prices)
        groups = (node["Labels"].get(NODE_GROUP) for node in ray.nodes() if node["Alive"])
        return sum(self.prices.get(group, 0.0) for group in groups)

    def resume(self, folder: Path) -> str:
        return self.again or super().resume(folder)

    def rows(self, trials: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        import ray
        from ray._private.state import available_resources_per_node

        free, rows = available_resources_per_node(), []
        for node in ray.nodes():
            has, left = node["Resources"], free.get(node["NodeID"], {})
            kind = "GPU" if has.get("GPU") else "CPU"
            if node["Alive"] and has.get("CPU"):
                here = [trial for trial, places in trials.items() if node["NodeManagerAddress"] in places]
                counts = {"cpus": has["CPU"], "gpus": has.get("GPU", 0), "busy": has[kind] - left.get(kind, 0)}
                rows.append({"node": node["NodeManagerHostname"], **counts, "trials": here})
        return rows

    @contextmanager
    def ray(self, gpus_used: bool, dashboard: bool, cure: str) -> Iterator[Path]:
        with scratch_folder() as scratch:
            try:
                yield scratch
            except RayLost as lost:
                raise UserError(f"The cluster has lost {lost}. {cure}") from None


THIS_MACHINE = ThisMachine()


def node_lost(error: BaseException) -> bool:
    """Whether an error of Ray tells of the loss of a node."""
    return any(words in str(error) for words in NODE_LOST)


def alive_nodes() -> list[Node]:
    """The nodes of the Ray that this process is connected to."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [{"cpus": node.get("CPU", 0), "gpus": node.get("GPU", 0)} for node in alive]
