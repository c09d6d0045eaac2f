"""The records of all kinds of cluster: what a user writes in a cluster file.

Each kind is one file (`address.py`, `ssh.py`; this machine is here), and one line in `table.py`. `read.py` reads files.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, NonNegativeFloat, PositiveFloat, PositiveInt

from trainables.common.records import Mistake, Record


def _absolute(path: str) -> str:
    if not path.startswith(("/", "~/")):
        raise ValueError(f"'{path}' is no whole path. Begin it with / or, for a path below the home folder, with ~/.")
    if not path.isprintable():
        raise ValueError("has a line break or another control character in it. Choose another path.")
    return path


PathThere = Annotated[str, AfterValidator(_absolute)]
"""A path on a cluster's hosts, where there is no current folder: /... or ~/..."""


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
    """A cluster whose trials run on other hosts than the driver."""

    checkpoint_minutes: PositiveFloat = 10
    """Minutes between checkpoints that travel to the driver's node. A trial's pause and end always bring one."""
    shared: PathThere | None = None
    """A folder that all hosts see under the same path. With it, sweeps are kept below it and no trial is sent."""
    folder: PathThere = "~/vaeorch-runs"
    """Where the cluster's head keeps the folders of sweeps, if there is no `shared`."""
