"""What the commands ask of a cluster's jobs, whatever system runs them: `JobSystem`.

`jobs.py` has the jobs of a Ray, `slurm/jobs.py` those of Slurm, `kuberay/jobs.py` those of KubeRay.
"""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
STOPPED = 128 + signal.SIGTERM  # the exit code of a job that was stopped: most systems do not keep the driver's own
PRINTABLE = {"PYTHONIOENCODING": "utf-8:backslashreplace"}  # Ray gives no line of a log after a byte that is not UTF-8


class State(NamedTuple):
    """A job's status as Ray names it, the exit code of its driver, as in shells, and what the system says of both.

    A job that ended without an exit code failed for the cluster's fault: its driver was lost or never started.
    """

    status: str
    exit_code: int | None
    message: str

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class Listed(NamedTuple):
    """A job in the list of all: its times are unix seconds, or None where they have not come yet."""

    id: str
    entrypoint: str
    state: State
    started: float | None
    ended: float | None


class JobSystem(ABC):
    """The jobs of a cluster. Methods raise UserError: NoAnswer if it cannot be asked, NoJob if it lacks the job."""

    @abstractmethod
    def submit(
        self,
        job_id: str,
        entrypoint: str,
        working_dir: Path,
        env: Mapping[str, str],
        resources: Mapping[str, float] | None = None,
    ) -> None:
        """Start a job: a shell's command line, in a copy of `working_dir`. An equal one is started once.

        `resources`, custom ones of Ray, place it. Raises ValueError for an `env` that may hold secrets.
        """

    @abstractmethod
    def status(self, job_id: str) -> State:
        """How the job stands."""

    @abstractmethod
    def stop(self, job_id: str) -> State:
        """Send SIGTERM to the job's driver, and wait until it has ended."""

    @abstractmethod
    def logs(self, job_id: str) -> str:
        """All that the job has printed so far."""

    @abstractmethod
    def follow(self, job_id: str, reopen: Callable[[], str]) -> Iterator[str]:
        """The lines of the job's log from its beginning, each once, until the job has ended.

        `reopen` opens a way to the cluster again that was lost, and returns its new address.
        """

    @abstractmethod
    def list(self) -> tuple[Listed, ...]:
        """All submitted jobs, the oldest first."""
