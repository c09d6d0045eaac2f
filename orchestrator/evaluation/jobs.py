"""Measures trained models, several at a time on Ray. Only plain values cross process borders.

`trainables/evaluations/evaluate.py` makes the numbers.
"""

import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.clusters.local import check_ray, private_ray
from orchestrator.clusters.resources import cpus, nodes
from orchestrator.evaluation.selection import of_plain
from orchestrator.storage.disk import fault_in, place
from trainables.common.roots import root_of
from trainables.run import Run

Job = dict[str, Any]
"""What is to be measured: `id` of the model, `run`, `checkpoint`, `evaluations` (their fields), `data_root`, and
`kept`, the cache folder that models share, for example for a trained feature network."""

Answer = dict[str, Any]
"""`id` of the model and one of: `finding` with its `pictures` (PNG by name); `refused`, a line for the user; `failed`,
the traceback of a bug."""


AGAIN = "The same command goes on from here."
LOOK_S = 1.0  # between checks that Ray is alive
DIED = "its process died, perhaps for want of memory: make room, then the same command goes on from here."


def answers(jobs: list[Job]) -> Iterator[Answer]:
    """Yields every answer as soon as it is there. A single model is measured in this process."""
    return examine(jobs[0], cpus()) if len(jobs) == 1 else _on_ray(jobs)


def examine(job: Job, threads: int) -> Iterator[Answer]:
    """Measure one model with so many threads. Yields an answer after each evaluation."""
    import torch

    from trainables.common.errors import CheckpointError, DataError
    from trainables.evaluations.evaluate import evaluate

    torch.set_num_threads(threads)
    asked = deque(of_plain(values) for values in job["evaluations"])
    where = Path(job["checkpoint"]), root_of(job["data_root"]), Path(job["kept"])
    while asked:
        try:
            for finding in evaluate(Run.model_validate(job["run"]), where[0], tuple(asked), *where[1:]):
                asked.popleft()
                yield {"id": job["id"], "finding": finding.plain(), "pictures": finding.pictures}
        except (DataError, CheckpointError) as error:
            yield {"id": job["id"], "refused": str(error)}
            return
        except Exception as error:  # any kind: only this evaluation has failed, the others continue
            if fault := fault_in(error):
                told = f"{place(fault, where[2])}: cannot be written: {fault.strerror}. Free room, then try again."
                yield {"id": job["id"], "refused": told}
                return
            yield {"id": job["id"], "failed": f"{asked.popleft().name}: {traceback.format_exc()}"}


def _on_ray(jobs: list[Job]) -> Iterator[Answer]:
    with private_ray(gpus_used=True, dashboard=False, cure=AGAIN):
        import ray
        from ray.exceptions import RayError

        have = nodes(True)
        threads = threads_each([int(node["cpus"]) for node in have], len(jobs))
        gpus = 1 if any(node["gpus"] for node in have) else 0
        task = ray.remote(examine).options(num_cpus=threads, num_gpus=gpus, num_returns="streaming", max_retries=0)
        streams = {task.remote(job, threads): job["id"] for job in jobs}
        while streams:
            found, _ = ray.wait(list(streams), num_returns=1, timeout=LOOK_S)
            check_ray()
            if not found:
                continue
            [ready] = found
            try:
                yield ray.get(next(ready))
            except StopIteration:
                del streams[ready]
            except RayError:
                check_ray()
                model = streams.pop(ready)
                yield {"id": model, "refused": f"{model}: {DIED}"}


def threads_each(cpus: list[int], jobs: int) -> int:
    """Threads per job for `jobs` jobs on nodes with so many CPUs each: all get some, and each fits on any node."""
    return max(1, min(sum(cpus) // jobs, min(cpus)))
