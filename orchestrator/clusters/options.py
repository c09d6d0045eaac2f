"""What the options of the command line say of the cluster on which a verb is to run."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClusterOptions:
    """The values of --cluster and of the options that go with it."""

    file: Path
    """The cluster file."""
    detach: bool = False
    """Whether to return once the job is submitted."""
    keep_up: float = 0.0
    """Minutes that the cluster stays up after the job, if this command has started it."""

    yes: bool = False
    """Whether machines that cost money are started without a question."""

    @property
    def name(self) -> str:
        """The cluster's name: that of its file."""
        return self.file.stem
