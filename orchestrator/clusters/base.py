"""The records of all kinds of cluster: what a user writes in a cluster file.

Each kind is one file (`address.py`, `ssh.py`; this machine is here), and one line in `table.py`. `read.py` reads files.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, NonNegativeFloat, PositiveFloat, PositiveInt

from orchestrator.clusters.connection import Node
from trainables.common.errors import DataError
from trainables.common.records import Mistake, Record
from trainables.common.roots import in_bucket
from trainables.data.remote.s3 import BucketPath

if TYPE_CHECKING:
    from orchestrator.clusters.cost import Cost
    from orchestrator.clusters.head import Head

Say = Callable[[str], None]
"""Shows a line to the user."""


def _absolute(path: str) -> str:
    if not path.startswith(("/", "~/")):
        raise ValueError(f"'{path}' is no whole path. Begin it with / or, for a path below the home folder, with ~/.")
    if not path.isprintable():
        raise ValueError("has a line break or another control character in it. Choose another path.")
    return path


PathThere = Annotated[str, AfterValidator(_absolute)]
"""A path on a cluster's hosts, where there is no current folder: /... or ~/..."""


def _in_bucket(address: str) -> str:
    if not in_bucket(address):
        raise ValueError(f"'{address}' is no place in a bucket. Write s3://bucket/prefix.")
    try:
        return str(BucketPath.of(address)).rstrip("/")
    except DataError as error:
        raise ValueError(str(error)) from None


InBucket = Annotated[str, AfterValidator(_in_bucket)]
"""s3://bucket/prefix."""


class Cluster(Record):
    """Where the trials of a sweep run."""

    chosen_by: ClassVar[str] = "kind"

    kind: str
    """The kind of cluster, which says what else can be written."""

    def mistakes(self) -> Iterator[Mistake]:
        """Mistakes: values that do not go together, each with its path."""
        yield from ()


class AtMost(Record):
    """What a cluster has at most, as it can grow to."""

    nodes: PositiveInt
    """Nodes that run trials."""
    cpus: NonNegativeFloat
    """CPUs of each node."""
    gpus: NonNegativeFloat = 0
    """GPUs of each node."""


class Local(Cluster):
    """This machine: what a sweep uses without a cluster."""

    kind: Literal["local"] = "local"
    """This machine."""


class RemoteCluster(Cluster):
    """A cluster, whose driver runs on its head as a Ray job."""

    checkpoint_minutes: PositiveFloat = 10
    """Minutes between checkpoints that travel to the driver's node. A trial's pause and end always bring one."""
    shared: PathThere | None = None
    """A folder that all hosts see under the same path. With it, sweeps are kept below it and no trial is sent."""
    store: InBucket | None = None
    """s3://bucket/prefix that keeps a snapshot of each sweep: when the head is lost, `resume` goes on from it."""

    @abstractmethod
    def room(self) -> tuple[Node, ...]:
        """The nodes that it may grow to; none where only the cluster itself knows."""

    def cost(self) -> Cost | None:
        """The most that it can cost; None: nothing is billed."""
        return None

    def prices(self) -> dict[str, float | None]:
        """Dollars an hour of each group of nodes that is billed, by Ray's label of it; None: not known."""
        return {}

    def priced(self) -> RemoteCluster:
        """The same, with the prices that its file leaves out, as far as they can be had from whom one pays."""
        return self

    def patience(self) -> float | None:
        """Minutes without any machine, after which a sweep ends; None: none are started while there is use for them."""
        return None

    @abstractmethod
    def opened(self, state: Path, out: Path) -> AbstractContextManager[Head]:
        """Yields the head of the cluster, which is up. Raises UserError.

        Args:
            state: the cluster's folder on this machine.
            out: the folder of all sweeps on this machine.
        """

    @abstractmethod
    def up(self, state: Path, say: Say) -> bool:
        """Have the cluster running. Returns whether it was not before. Raises UserError, and then nothing runs."""

    @property
    def is_ours(self) -> bool:
        """Whether vaeorch starts and ends it, so that all jobs there are of its user."""
        return True

    @abstractmethod
    def down(self, state: Path) -> list[str]:
        """End what `up` has started. Returns a line for each thing that may still run."""

    @abstractmethod
    def down_when_idle(self, state: Path, minutes: float) -> None:
        """Have the cluster end by itself once no job has run for so long. Raises UserError."""

    @abstractmethod
    def check(self, state: Path) -> list[str]:
        """Whether it can be used, without starting anything: what was found, in lines. Raises UserError."""

    @abstractmethod
    def standing(self, state: Path) -> str:
        """Whether it is up, in a few words."""

    @abstractmethod
    def summary(self) -> list[str]:
        """What `up` would start, in lines for the user."""

    def rendered(self) -> str:
        """What would be given to the system that starts it, whole; nothing where vaeorch starts it step by step."""
        return ""
