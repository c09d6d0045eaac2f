"""Starts the TrialStore of a sweep beside its driver, where the nodes do not share the driver's files."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.clusters.connection import Connection
from orchestrator.clusters.local import NAMESPACE
from orchestrator.clusters.trial_store import CALLS, TrialStore

SETTLE_S = 60.0  # for slots to send what they have, once a sweep is interrupted: within an epoch, that is


@contextmanager
def place_of(folder: Path, cluster: Connection) -> Iterator[dict[str, Any]]:
    """Yields what slots must know of where the trials' files in a sweep's `folder` are: nothing where they share them.

    When the sweep is interrupted, the slots send what they have, if their epochs end within SETTLE_S.
    """
    if cluster.shares_files:
        yield {}
        return
    name, here = f"trials-{secrets.token_hex(8)}", ray.get_runtime_context().get_node_id()
    beside = NodeAffinitySchedulingStrategy(here, soft=False)
    options = {"name": name, "namespace": NAMESPACE, "num_cpus": 0, "max_concurrency": CALLS}
    store = ray.remote(TrialStore).options(scheduling_strategy=beside, **options).remote(str(folder))
    try:
        yield {"store": name, "checkpoint_minutes": cluster.checkpoint_minutes} | cluster.blobs()
    except KeyboardInterrupt:
        with suppress(RayActorError):  # the store is lost too
            settled = [slot.settle.remote() for slot in ray.get(store.holding.remote())]
            ray.wait(settled, num_returns=len(settled), timeout=SETTLE_S) if settled else None
        raise
    finally:
        ray.kill(store)
