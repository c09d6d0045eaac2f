"""Brings the file of a trained model to a process that measures or draws it, on whatever node that runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.clusters.scratch import scratch_folder
from orchestrator.storage import layout
from orchestrator.storage.blobs import here


@contextmanager
def model_file(job: dict[str, Any]) -> Iterator[Path]:
    """Yields the file of a job's model on this machine.

    The job has the `checkpoint` on the driver's disk; where nodes do not share that, `store`, the name of the
    TrialStore, and `path` below the sweep's folder, by which the file is fetched from it.
    """
    if "store" not in job:
        yield here(Path(job["checkpoint"]))
        return
    from orchestrator.clusters.lease import fetch, store_of

    with scratch_folder() as scratch:
        fetch(store_of(job["store"]), job["path"], scratch / layout.BEST)
        yield scratch / layout.BEST
