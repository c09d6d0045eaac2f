"""Submits jobs to Slurm by its own commands on this machine, and follows their logs in the shared folder.

`record.py` has the script, `allocation.py` what it runs, and the files by which both tell how a job stands.
`commands.py` runs the commands.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestrator.clusters.head import Head
from orchestrator.clusters.job_server import NoJob
from orchestrator.clusters.job_system import STOPPED, JobSystem, Listed, State
from orchestrator.clusters.settings import check_settings, settings_of
from orchestrator.clusters.slurm.allocation import LOST, JobFiles
from orchestrator.clusters.slurm.commands import SlurmCommands
from orchestrator.errors import UserError
from orchestrator.storage import layout

PROGRAMS = ("sbatch", "squeue", "scancel", "sinfo")
PAUSE_S = 1.0  # between looks at a job's files
ASK_S = 20.0  # between questions about a job: they are work for the cluster's controller
LATE_S = 10.0  # for a file that a node has written to be seen here
STOP_S = 240.0  # for a job to end once it is stopped
SCRIPT = "job.sbatch"
WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "CONFIGURING")
OVER = {  # Slurm's states of jobs that have ended -> what to tell
    "CANCELLED": "it was cancelled",
    "COMPLETED": "its script has ended",
    "FAILED": "its script has failed",
    "TIMEOUT": "its time was over before its driver had ended",
    "NODE_FAIL": "a node has failed",
    "BOOT_FAIL": "a node did not boot",
    "PREEMPTED": "it was preempted",
    "OUT_OF_MEMORY": "its memory was not enough: ask for more by `options: [--mem=...]`",
    "DEADLINE": "its deadline has passed",
}


@contextmanager
def opened(record) -> Iterator[Head]:
    """Yields the login node, which is this machine: drivers write to the shared folder. Raises UserError."""
    jobs = SlurmJobs(record)
    jobs.check_here()
    settings = settings_of(os.environ)
    yield Head(jobs=jobs, out=record.folder, python=record.program, reopen=lambda: "", settings=settings)


class SlurmJobs(JobSystem):
    """The jobs of a record of kind `slurm`. Each has a folder below the shared one."""

    def __init__(self, record):
        self.record, self.slurm = record, SlurmCommands(record)

    def check_here(self) -> None:
        """Raises UserError unless jobs can be submitted from this machine."""
        if missing := [program for program in PROGRAMS if not shutil.which(program)]:
            cure = "Type the command on a login node of the cluster."
            raise UserError(f"{', '.join(missing)}: Slurm is not installed on this machine. {cure}")
        probe = Path(self.record.folder) / layout.JOBS / f".{os.getpid()}"
        try:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            cure = "Name a folder that you may write to, and that all nodes see."
            raise UserError(f"shared: {self.record.folder}: cannot be written: {error.strerror}. {cure}") from None

    def check(self) -> list[str]:
        """What was found, in lines; Slurm says when a job would start. Raises UserError."""
        self.check_here()
        version = self.slurm.ask(["sinfo", "--version"]).strip()
        verdict = self.slurm.ask(["sbatch", "--test-only"], self.record.rendered(), errors_too=True)
        lines = [line.removeprefix("sbatch: ") for line in verdict.splitlines() if line.strip()]
        return [f"{version}: {lines[-1] if lines else 'a job would be taken'}", f"{self.record.folder} can be written"]

    def submit(
        self,
        job_id: str,
        entrypoint: str,
        working_dir: Path,
        env: Mapping[str, str],
        resources: Mapping[str, float] | None = None,
    ) -> None:
        check_settings(env)
        files = self._files(job_id)
        if self._number(job_id):
            return
        shutil.copytree(working_dir, files.place / layout.JOB_CODE, dirs_exist_ok=True)
        script = files.place / SCRIPT
        script.write_text(self.record.script(job_id, str(files.place), entrypoint, env), encoding="utf-8")
        said = self.slurm.ask(["sbatch", "--parsable", str(script)])
        files.number.write_text(said.strip().splitlines()[-1].partition(";")[0] + "\n", encoding="utf-8")

    def status(self, job_id: str) -> State:
        return self._ended(job_id) or self._asked_status(job_id)[0]

    def stop(self, job_id: str) -> State:
        files, deadline, sent = self._files(job_id), time.monotonic() + STOP_S, False
        number = self._known_number(job_id)
        files.stop.touch()
        while not (state := self.status(job_id)).ended:
            if time.monotonic() > deadline:
                raise UserError(f"{job_id}: still {state.status} {STOP_S:.0f} s after it was stopped. Stop it again.")
            if state.status == "PENDING":
                self.slurm.run(["scancel", number])
            elif not sent:
                sent = not self.slurm.run(["scancel", "--signal=TERM", "--batch", number]).returncode
            time.sleep(PAUSE_S)
        return state

    def logs(self, job_id: str) -> str:
        self._known_number(job_id)
        return "\n".join(Log(self._files(job_id).place / layout.JOB_LOG).new(ended=True))

    def follow(self, job_id: str, reopen: Callable[[], str]) -> Iterator[str]:
        asked, told, log = -ASK_S, "", Log(self._files(job_id).place / layout.JOB_LOG)
        while True:
            state = self._ended(job_id)
            if state is None and time.monotonic() - asked > ASK_S:
                state, news = self._asked_status(job_id)
                asked = time.monotonic()
                if news != told:
                    told = news
                    yield f"slurm        {told}"
            over = state is not None and state.ended
            yield from log.new(over)
            if over:
                return
            time.sleep(PAUSE_S)

    def list(self) -> tuple[Listed, ...]:
        known = sorted((Path(self.record.folder) / layout.JOBS).glob(f"*/{JobFiles(Path()).number.name}"), key=_begun)
        return tuple(Listed(file.parent.name, "", self.status(file.parent.name), _begun(file), None) for file in known)

    def _files(self, job_id: str) -> JobFiles:
        return JobFiles(Path(self.record.folder) / layout.JOBS / job_id)

    def _number(self, job_id: str) -> str | None:
        """Slurm's number of a job, also where this machine had no time to note it."""
        noted = self._files(job_id).number
        if noted.exists():
            return noted.read_text(encoding="utf-8").strip()
        found = self.slurm.ask(["squeue", "--noheader", "--me", f"--name={job_id}", "--format=%A"]).split()
        return found[0] if found else None

    def _known_number(self, job_id: str) -> str:
        if number := self._number(job_id):
            return number
        raise NoJob(f"{self._files(job_id).place}: no such job was submitted.")

    def _ended(self, job_id: str) -> State | None:
        """How the job has ended, as it has noted itself; None if it has not."""
        files = self._files(job_id)
        if (end := files.ended()) is None:
            return None
        code, reason = end
        if code == LOST:
            return State("FAILED", None, reason)
        return State("SUCCEEDED" if code == 0 else "STOPPED" if code == STOPPED else "FAILED", code, reason)

    def _asked_status(self, job_id: str) -> tuple[State, str]:
        """How a job stands that has noted no end, as Slurm says, and the same in words."""
        number = self._known_number(job_id)
        told = self.slurm.run(["squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T|%r"])
        if told.returncode and "invalid job id" not in told.stderr.lower():
            raise self.slurm.failure("squeue", told.stderr)
        name, _, reason = told.stdout.strip().partition("|")
        name = name or self._accounted(number)
        if name in WAITING:
            why = f" ({reason})" if reason != "None" else ""
            return State("PENDING", None, reason), f"job {number} waits{why}"
        if name and name not in OVER:
            return State("RUNNING", None, ""), f"job {number} has its nodes"
        return self._over(job_id, number, name), f"job {number} has ended"

    def _over(self, job_id: str, number: str, name: str) -> State:
        """How a job has ended of which Slurm says so; what a node has written may come late."""
        files, deadline = self._files(job_id), time.monotonic() + LATE_S
        while time.monotonic() < deadline:
            os.listdir(files.place)  # has a network's file system look
            if state := self._ended(job_id):
                return state
            if files.stop.exists():
                return State("STOPPED", STOPPED, "")
            time.sleep(PAUSE_S)
        return State("FAILED", None, f"Slurm's job {number}: {OVER.get(name, 'Slurm no longer knows it')}.")

    def _accounted(self, number: str) -> str:
        """The state of a job that has long ended, where Slurm keeps accounts; else nothing."""
        if not shutil.which("sacct"):
            return ""
        told = self.slurm.run(["sacct", "--noheader", "--allocations", f"--jobs={number}", "--format=State%20"])
        return "" if told.returncode or not told.stdout.split() else told.stdout.split()[0]


class Log:
    """A file that grows, line by line. It need not be there yet."""

    def __init__(self, file: Path):
        self.file, self.read, self.rest = file, 0, b""

    def new(self, ended: bool) -> list[str]:
        """The lines that have come since the last call; once the job has `ended`, also one that lacks its end."""
        if self.file.exists():
            with self.file.open("rb") as file:
                file.seek(self.read)
                content = file.read()
            self.read += len(content)
            *lines, self.rest = (self.rest + content).split(b"\n")
        else:
            lines = []
        if ended and self.rest:
            lines.append(self.rest)
        return [line.decode(errors="replace") for line in lines]


def _begun(file: Path) -> float:
    return file.stat().st_mtime
