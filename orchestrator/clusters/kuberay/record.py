"""The kind `kuberay`: a Kubernetes cluster where the KubeRay operator makes a Ray of pods for each job.

`ray_job.py` renders what it is given, `jobs.py` submits that by `kubectl` and looks after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from orchestrator.clusters.base import InBucket, RemoteCluster, Say
from orchestrator.clusters.connection import Node
from orchestrator.text import counted
from trainables.common.records import Mistake, Record

if TYPE_CHECKING:
    from orchestrator.clusters.head import Head

LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
GROUP = re.compile("[a-z]([a-z0-9-]{0,18}[a-z0-9])?")  # part of the names of pods
LONGEST_HOURS = 24 * 365
NO_STORE = "is missing: the disks of pods vanish with them. Name a bucket for what the sweep has: s3://bucket/prefix."


def _label(name: str) -> str:
    if not LABEL.fullmatch(name):
        raise ValueError(f"'{name}' is no name of Kubernetes: lower-case letters, digits and - only, 63 at most.")
    return name


def _group(name: str) -> str:
    if not GROUP.fullmatch(name):
        raise ValueError(f"'{name}' cannot name workers: lower-case letters, digits and - only, 20 at most.")
    return name


def _one_word(text: str) -> str:
    if not text or not text.isprintable() or " " in text:
        raise ValueError(f"'{text}' must be one word.")
    return text


Name = Annotated[str, AfterValidator(_label)]
Word = Annotated[str, AfterValidator(_one_word)]


class Pod(Record):
    """What the pod of the head has."""

    cpus: PositiveInt = 4
    """CPUs."""
    memory_gib: PositiveInt = 16
    """GiB of memory. The head holds what trials send home meanwhile."""


class Toleration(Record):
    """A taint of nodes that pods bear, as nodes with GPUs often have one."""

    key: Word
    """The taint's key, such as nvidia.com/gpu."""
    value: Word | None = None
    """The taint's value. Default: any."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect. Default: any."""


class Workers(Record):
    """Pods that train, all alike."""

    name: Annotated[str, AfterValidator(_group)]
    """Tells these workers from others."""
    cpus: PositiveInt
    """CPUs of each."""
    memory_gib: PositiveInt
    """GiB of memory of each."""
    gpus: NonNegativeInt = 0
    """GPUs of each."""
    at_most: PositiveInt
    """How many there are at most. Ray starts them as trials need them, and ends those that are idle."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that their nodes must have, such as {cloud.google.com/gke-accelerator: nvidia-l4}."""
    tolerations: tuple[Toleration, ...] = ()
    """Taints of nodes that they bear."""


class KubeRay(RemoteCluster):
    """A Kubernetes cluster with the KubeRay operator, which makes a Ray of pods for each job, and ends it after it."""

    shared: ClassVar[None] = None  # pods have disks of their own

    kind: Literal["kuberay"] = "kuberay"
    """A Kubernetes cluster with the KubeRay operator."""
    context: Word | None = None
    """Which cluster of your kubeconfig. Default: its current one."""
    namespace: Name
    """The namespace of all that is made."""
    image: Word
    """The image of all pods, which has Ray and the packages of vaeorch, as its Dockerfile makes it."""
    service_account: Name | None = None
    """The service account of pods, by which they may read and write buckets. Default: the namespace's own."""
    secrets: tuple[Name, ...] = ()
    """Secrets of the namespace, by name, whose entries are environment variables of pods, such as keys to a bucket."""
    head: Pod = Pod()
    """The pod on which the sweep itself runs. No trial runs there."""
    workers: tuple[Workers, ...]
    """The pods that train."""
    store: InBucket | None = None
    """The bucket to which the sweep is saved while it runs, as s3://bucket/prefix. It must be named."""
    max_hours: Annotated[float, Field(gt=0, le=LONGEST_HOURS)] = 24
    """After so many hours the operator ends a job, and all of its pods, whatever it does."""

    def room(self) -> tuple[Node, ...]:
        return tuple(
            node for group in self.workers for node in ({"cpus": group.cpus, "gpus": group.gpus},) * group.at_most
        )

    def opened(self, state: Path, out: Path) -> AbstractContextManager[Head]:
        from orchestrator.clusters.kuberay.jobs import opened

        return opened(self)

    def up(self, state: Path, say: Say) -> bool:
        """Kubernetes runs already: each job gets its pods, and gives them back."""
        from orchestrator.clusters.kuberay.jobs import KubeJobs

        KubeJobs(self).check_here()
        return False

    def down(self, state: Path) -> list[str]:
        """Remove all that jobs have left there."""
        from orchestrator.clusters.kuberay.jobs import KubeJobs

        return KubeJobs(self).remove()

    def down_when_idle(self, state: Path, minutes: float) -> None:
        """The operator ends the pods of each job after it."""

    def check(self, state: Path) -> list[str]:
        from orchestrator.clusters.kuberay.jobs import KubeJobs

        return KubeJobs(self).check()

    def standing(self, state: Path) -> str:
        from orchestrator.clusters.kuberay.jobs import KubeJobs

        jobs = [job for job in KubeJobs(self).list() if not job.state.ended]
        return counted(len(jobs), "job")

    def summary(self) -> list[str]:
        groups = [
            f"up to {group.at_most} {group.name} with {counted(group.cpus, 'CPU')}"
            + (f" and {counted(group.gpus, 'GPU')}" if group.gpus else "")
            for group in self.workers
        ]
        pods = ", ".join([f"a head with {counted(self.head.cpus, 'CPU')}", *groups])
        return [f"KubeRay makes pods in {self.namespace}: {pods}; {counted(self.max_hours, 'hour')} at most"]

    def rendered(self) -> str:
        from orchestrator.clusters.kuberay.ray_job import as_yaml, manifest

        return as_yaml(manifest(self, "NAME-sweep", "exec python -m orchestrator driver CONFIG", {}))

    def mistakes(self) -> Iterator[Mistake]:
        """No store, no workers, workers of the same name."""
        if self.store is None:
            yield "store", NO_STORE
        if not self.workers:
            yield "workers", "names none, so no trial could run. Add one."
        seen: dict[str, int] = {}
        for number, group in enumerate(self.workers):
            first = seen.setdefault(group.name, number)
            if first != number:
                yield f"workers[{number}].name", f"{group.name} is named twice, first as workers[{first}]. Rename one."
