"""Measures trained models, several at a time on Ray. Only plain values cross process borders.

`trainables/evaluations/evaluate.py` makes the numbers.
"""

import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.clusters.connection import THIS_MACHINE, Connection, node_lost
from orchestrator.clusters.model_file import model_file
from orchestrator.clusters.resources import cpus
from orchestrator.evaluation.selection import of_plain
from orchestrator.storage import layout
from orchestrator.storage.disk import cure_of, fault_in, place
from trainables.common.roots import cache_folder, root_of
from trainables.common.threads import torch_threads
from trainables.run import Run

Job = dict[str, Any]
"""What is to be measured: `id` of the model, `run`, `checkpoint` and its `path` below the folder of the sweep or run,
`evaluations` (their fields), `data_root`, and `kept`, the cache folder that models share, for example for a trained
feature network. On nodes that do not share the driver's files, `store` is the name of the TrialStore: `path` is then
fetched from it, `checkpoint` and `kept` are not used."""

Answer = dict[str, Any]
"""`id` of the model and one of: `finding` with its `files` (pictures and tables by name); `refused`, a line for the
user; `failed`, the traceback of a bug."""


AGAIN = "The same command goes on from here."
LOOK_S = 1.0  # between checks that Ray is alive
DIED = "its process died, perhaps for want of memory: make room, then the same command goes on from here."


def answers(jobs: list[Job], folder: Path, cluster: Connection) -> Iterator[Answer]:
    """Yields every answer as soon as it is there. A single model is measured in this process.

    `folder` is that of the sweep or run.
    """
    return examine(jobs[0], cpus()) if len(jobs) == 1 and cluster is THIS_MACHINE else _on_ray(jobs, folder, cluster)


def examine(job: Job, threads: int) -> Iterator[Answer]:
    """Measure one model with so many threads. Yields an answer after each evaluation."""
    from trainables.common.errors import CheckpointError, DataError
    from trainables.evaluations.evaluate import evaluate

    asked = deque(of_plain(values) for values in job["evaluations"])
    with torch_threads(threads), files_of(job) as (checkpoint, shared):
        while asked:
            try:
                found = evaluate(
                    Run.model_validate(job["run"]), checkpoint, tuple(asked), root_of(job["data_root"]), shared
                )
                for finding in found:
                    asked.popleft()
                    yield {"id": job["id"], "finding": finding.plain(), "files": finding.pictures | finding.tables}
            except (DataError, CheckpointError) as error:
                yield {"id": job["id"], "refused": str(error)}
                return
            except Exception as error:  # any kind: only this evaluation has failed, the others continue
                if fault := fault_in(error):
                    told = f"{place(fault, shared)}: cannot be written: {fault.strerror}."
                    yield {"id": job["id"], "refused": f"{told} {cure_of(fault)}, then try again."}
                    return
                yield {"id": job["id"], "failed": f"{asked.popleft().name}: {traceback.format_exc()}"}


@contextmanager
def files_of(job: Job) -> Iterator[tuple[Path, Path]]:
    """Yields the checkpoint of a job's model and the cache that models share, both on this machine."""
    with model_file(job) as checkpoint:
        yield checkpoint, cache_folder() / layout.SHARED if "store" in job else Path(job["kept"])


def _on_ray(jobs: list[Job], folder: Path, cluster: Connection) -> Iterator[Answer]:
    with cluster.ray(True, False, AGAIN):
        import ray
        from ray.exceptions import RayError

        from orchestrator.clusters.serving import place_of

        have = cluster.nodes(True)
        threads = threads_each([int(node["cpus"]) for node in have if node["cpus"]], len(jobs))
        gpus = 1 if any(node["gpus"] for node in have) else 0
        task = ray.remote(examine).options(num_cpus=threads, num_gpus=gpus, num_returns="streaming", max_retries=0)
        with place_of(folder, cluster) as where:
            streams = {task.remote(job | where, threads): job for job in jobs}
            while streams:
                found, _ = ray.wait(list(streams), num_returns=1, timeout=LOOK_S)
                cluster.check()
                if not found:
                    continue
                [ready] = found
                try:
                    answer = ray.get(next(ready))
                    streams[ready] = without(streams[ready], answer)
                    yield answer
                except StopIteration:
                    del streams[ready]
                except RayError as error:
                    cluster.check()
                    job = streams.pop(ready)
                    if not node_lost(error):
                        yield {"id": job["id"], "refused": f"{job['id']}: {DIED}"}
                    elif job["evaluations"]:
                        streams[task.remote(job | where, threads)] = job


def without(job: Job, answer: Answer) -> Job:
    """The job without the evaluation that was answered: the rest is measured elsewhere, if its node is lost."""
    left = [own for own in job["evaluations"] if own != answer.get("finding", {}).get("settings")]
    return job | {"evaluations": left}


def threads_each(cpus: list[int], jobs: int) -> int:
    """Threads per job for `jobs` jobs on nodes with so many CPUs each: all get some, and each fits on any node."""
    return max(1, min(sum(cpus) // jobs, min(cpus)))
