"""A Ray of several nodes on this machine, and a slot that loses its node and then fails by itself."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import services
from ray.cluster_utils import Cluster

import psutil  # isort: skip  # Ray brings it

from orchestrator.clusters import local
from orchestrator.execution.slot import Slot

SOON_MISSED = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}  # of nodes; 3 s and 5 by default


@contextmanager
def ray_cluster(*cpus: float) -> Iterator[Cluster]:
    """Nodes with so many CPUs, the first of them the head, to which this process is connected."""
    cluster = start_cluster(cpus)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def start_cluster(cpus: tuple[float, ...]) -> Cluster:
    """A raylet ends by itself if its helpers need more than 15 s to start: then all nodes are started again."""
    os.environ.update(local.ENVIRONMENT)
    others, deadline = local.descendants(psutil.Process()), time.monotonic() + local.START_S
    while True:
        cluster = Cluster()
        try:
            with local.replaced(services, "get_node", local.patient(services.get_node, lambda: None)):
                for number in cpus:
                    first = {} if cluster.head_node else {"include_dashboard": False, "_system_config": SOON_MISSED}
                    with local.inherited({"RAY_NODE_TYPE_NAME": "head" if first else "worker"}):
                        cluster.add_node(num_cpus=number, **first)
            connect(cluster)
            return cluster
        except (Exception, local.RayLost) as error:
            ray.shutdown()
            cluster.shutdown()
            mine = local.descendants(psutil.Process()) - others.union(*map(local.descendants, others))
            local.end(mine)
            if time.monotonic() > deadline:
                raise TimeoutError("Ray did not start.") from error


def connect(cluster: Cluster) -> None:
    """Connect this process anew, as another driver: what the one before had started ends."""
    ray.shutdown()
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL", "namespace": local.NAMESPACE}
    ray.init(address=cluster.address, **quiet)


class UnluckySlot(Slot):
    """After the second epoch of the first trial its node is lost; where it goes on it fails there by itself, once.

    Nobody knows of that epoch then. The nodes that trained it are noted in the sweep's folder.
    """

    def step(self) -> dict[str, Any]:
        result = super().step()
        if (self.config["id"], result["epoch"]) == ("0001", 2):
            notes = notes_of(Path(self.config["folder"]).parents[1])
            with (Path(self.config["folder"]).parents[1] / "nodes").open("a") as file:
                file.write(ray.get_runtime_context().get_node_id() + "\n")
            if not notes:
                os.kill(os.getppid(), signal.SIGKILL)  # the raylet: its node's other processes end without it
                os.kill(os.getpid(), signal.SIGKILL)
            if len(notes) == 1:
                raise RuntimeError("a fault of its own")
        return result


def notes_of(sweep: Path) -> list[str]:
    """The nodes that trained the second epoch of the first trial, one after the other."""
    file = sweep / "nodes"
    return file.read_text().split() if file.exists() else []
