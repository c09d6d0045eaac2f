"""The kind `slurm`: a batch system that gives nodes to each job. A Ray runs on them for as long as the job does.

`Slurm.script` renders what `sbatch` is given; `jobs.py` submits it, `allocation.py` is what runs on the nodes.
"""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from orchestrator.clusters.base import PathThere, RemoteCluster, Say
from orchestrator.clusters.connection import Node
from orchestrator.storage import layout
from orchestrator.text import counted
from trainables.common.records import Mistake

if TYPE_CHECKING:
    from orchestrator.clusters.head import Head

CPUS_OF_A_GPU = 4
WARNING_S = 120  # before the time limit Slurm sends TERM
LEAST_MINUTES = 4  # Slurm may send it a minute earlier than asked, and a driver needs a moment to begin
LONGEST_HOURS = 24 * 365
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,:@-]*")
OURS = {  # what vaeorch writes itself -> the field that says it, if one does
    "--job-name": None,
    "--nodes": "nodes",
    "--ntasks": None,
    "--ntasks-per-node": None,
    "--cpus-per-task": "cpus",
    "--gpus-per-node": "gpus",
    "--time": "hours",
    "--partition": "partition",
    "--account": "account",
    "--signal": None,
    "--requeue": None,
    "--no-requeue": None,
    "--open-mode": None,
    "--output": None,
    "--error": None,
    "--chdir": None,
    "--array": None,
    "--wrap": None,
    "--parsable": None,
    "--test-only": None,
    "--wait": None,
}
SHORT = {
    "-J": "--job-name",
    "-N": "--nodes",
    "-n": "--ntasks",
    "-c": "--cpus-per-task",
    "-t": "--time",
    "-p": "--partition",
    "-A": "--account",
    "-o": "--output",
    "-e": "--error",
    "-D": "--chdir",
    "-a": "--array",
    "-W": "--wait",
}


def _word(name: str) -> str:
    if not WORD.fullmatch(name):
        raise ValueError(f"'{name}' is no name of Slurm's. Write it as `sinfo` or `sacctmgr` show it.")
    return name


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be one line of a shell's script. Write each line as an element of the list.")
    return text


def _option(text: str) -> str:
    if not re.match("--?[A-Za-z]", text) or not text.isprintable():
        raise ValueError(f"'{text}' is no option of sbatch. Write it as on its command line, such as --mem=64G.")
    name = re.split("[= ]", text)[0] if text.startswith("--") else text[:2]
    name = SHORT.get(name, name)
    if name in OURS:
        cure = f"Use the key `{OURS[name]}`." if OURS[name] else "Remove it."
        raise ValueError(f"'{text}': vaeorch sets {name} itself. {cure}")
    return text


Name = Annotated[str, AfterValidator(_word)]


class Slurm(RemoteCluster):
    """A cluster whose nodes Slurm gives to jobs. Each verb is a job of its own; commands run on a login node."""

    checkpoint_minutes: ClassVar[float] = 10.0  # of no effect: nothing travels
    store: ClassVar[None] = None  # what is shared stays

    kind: Literal["slurm"] = "slurm"
    """A cluster whose nodes Slurm gives to jobs."""
    shared: PathThere
    """A folder that login node and nodes see under the same path. Sweeps, their code and logs are kept below it."""
    nodes: PositiveInt = 1
    """Nodes of a job. All of them train; the sweep itself runs on the first."""
    cpus: PositiveInt | None = None
    """CPUs of each node. Default: 4 for each GPU, and 4 without GPUs."""
    gpus: NonNegativeInt = 0
    """GPUs of each node."""
    hours: Annotated[float, Field(gt=0, le=LONGEST_HOURS)]
    """Time limit of a job. Before it the sweep ends in order, is queued again, and goes on with the next hours."""
    partition: Name | None = None
    """Slurm's partition. Default: the cluster's own."""
    account: Name | None = None
    """Slurm's account that pays. Default: your own."""
    python: PathThere | None = None
    """The Python of an environment with the packages of vaeorch, as the nodes see it. Default: that of the command."""
    setup: tuple[Annotated[str, AfterValidator(_line)], ...] = ()
    """Lines of a shell that run first, on the first node, such as `module load cuda`."""
    options: tuple[Annotated[str, AfterValidator(_option)], ...] = ()
    """Further options of sbatch, such as --mem=64G or --constraint=a100."""

    @property
    def cpus_of_node(self) -> int:
        return self.cpus or CPUS_OF_A_GPU * max(1, self.gpus)

    @property
    def program(self) -> str:
        """The Python on the nodes."""
        return str(Path(self.python).expanduser()) if self.python else sys.executable

    @property
    def folder(self) -> str:
        """The shared folder as this machine sees it."""
        return str(Path(self.shared).expanduser())

    def room(self) -> tuple[Node, ...]:
        return ({"cpus": self.cpus_of_node, "gpus": self.gpus},) * self.nodes

    def opened(self, state: Path, out: Path) -> AbstractContextManager[Head]:
        from orchestrator.clusters.slurm.jobs import opened

        return opened(self)

    def up(self, state: Path, say: Say) -> bool:
        """Slurm runs already: each job gets its nodes, and gives them back."""
        from orchestrator.clusters.slurm.jobs import SlurmJobs

        SlurmJobs(self).check_here()
        return False

    def down(self, state: Path) -> list[str]:
        """Nothing is left once its jobs have ended."""
        return []

    def down_when_idle(self, state: Path, minutes: float) -> None:
        """It takes its nodes back by itself."""

    def check(self, state: Path) -> list[str]:
        from orchestrator.clusters.slurm.jobs import SlurmJobs

        return SlurmJobs(self).check()

    def standing(self, state: Path) -> str:
        from orchestrator.clusters.slurm.jobs import SlurmJobs

        jobs = [job for job in SlurmJobs(self).list() if not job.state.ended]
        return counted(len(jobs), "job")

    def summary(self) -> list[str]:
        each = counted(self.cpus_of_node, "CPU") + (f" and {counted(self.gpus, 'GPU')}" if self.gpus else "")
        where = f" of {self.partition}" if self.partition else ""
        nodes, hours = counted(self.nodes, "node"), counted(self.hours, "hour")
        return [f"Slurm gives {nodes}{where} with {each}{' each' if self.nodes > 1 else ''}, for {hours} at a time"]

    def rendered(self) -> str:
        place = f"{self.folder}/{layout.JOBS}/NAME-sweep"
        driver = shlex.join([self.program, "-m", "orchestrator", "driver", f"{place}/{layout.CONFIG}"])
        return self.script("NAME-sweep", place, f"exec {driver}", {})

    def mistakes(self) -> Iterator[Mistake]:
        """A time limit that leaves no time to train."""
        if self.minutes < LEAST_MINUTES:
            least, early = math.ceil(LEAST_MINUTES / 60 * 100) / 100, f"the sweep ends {WARNING_S} s before"
            yield "hours", f"{self.hours:g} leaves no time, as {early}. Write {least} at least."

    @property
    def minutes(self) -> int:
        return math.ceil(round(self.hours * 60, 6))

    def script(self, job_id: str, place: str, entrypoint: str, env: Mapping[str, str]) -> str:
        """What `sbatch` is given for a job, whose folder on all nodes is `place`. `entrypoint` starts its driver."""
        options = {
            "--job-name": job_id,
            "--nodes": self.nodes,
            "--ntasks-per-node": 1,
            "--cpus-per-task": self.cpus_of_node,
            "--gpus-per-node": self.gpus or None,
            "--time": self.minutes,
            "--partition": self.partition,
            "--account": self.account,
            "--signal": f"B:TERM@{WARNING_S}",
            "--requeue": "",
            "--open-mode": "append",
            "--chdir": _quoted(place),
            "--output": _quoted(f"{place}/{layout.JOB_LOG}".replace("%", "%%")),
        }
        words = [f"{name}={value}" if value != "" else name for name, value in options.items() if value is not None]
        sizes = ["--nodes", self.nodes, "--cpus", self.cpus_of_node, "--gpus", self.gpus]
        run = [self.program, "-m", "orchestrator.clusters.slurm.allocation", "run", *sizes, place, entrypoint]
        code = shlex.quote(f"{place}/{layout.JOB_CODE}")
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH {word}" for word in (*words, *self.options)),
            *self.setup,
            *(f"export {name}={shlex.quote(value)}" for name, value in env.items()),
            f"export PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}}",
            f"exec {shlex.join(map(str, run))}",  # so that Slurm's signals come to it
        ]
        return "".join(f"{line}\n" for line in lines)


def _quoted(path: str) -> str:
    """A path as sbatch reads it in a script."""
    return f'"{path}"' if re.search(r"\s", path) else path
