"""Submits jobs to the KubeRay operator by `kubectl`, follows their logs, and brings files of their head here.

`ray_job.py` renders what is submitted; `kubectl.py` runs the command.
"""

import calendar
import json
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.clusters.head import Head
from orchestrator.clusters.job_server import NoJob
from orchestrator.clusters.job_system import PRINTABLE, STOPPED, JobSystem, Listed, State
from orchestrator.clusters.kuberay.kubectl import Kubectl
from orchestrator.clusters.kuberay.ray_job import (
    FOLDER,
    JOB,
    MADE_BY,
    PLACE,
    RUNS,
    STOP_S,
    files_secret,
    labels,
    manifest,
    name_of,
)
from orchestrator.clusters.local import ENVIRONMENT
from orchestrator.clusters.settings import check_settings, settings_of
from orchestrator.errors import UserError
from orchestrator.storage import layout

PAUSE_S = 2.0  # between questions
MARGIN_S = 120.0  # for a stopped job to be seen as ended, beyond the driver's own time
EXIT_CODE = re.compile(r"failed with exit code (-?\d+)")  # in Ray's words
DEADLINE = "DeadlineExceeded"
HIDDEN = ".[!./]*"  # what a pattern of tar for hidden files is
CHANGED = 1  # tar's exit code where a file was written to meanwhile


@contextmanager
def opened(record) -> Iterator[Head]:
    """Yields the head that a job has, or will have. Raises UserError."""
    jobs = KubeJobs(record)
    jobs.kubectl.check_here()
    yield Head(
        jobs=jobs,
        out=RUNS,
        python="python",
        reopen=lambda: "",
        remote=jobs,
        settings=ENVIRONMENT | settings_of(os.environ),
    )


class KubeJobs(JobSystem):
    """The jobs of a record of kind `kuberay`, and the disk of each one's head."""

    def __init__(self, record):
        self.record, self.kubectl = record, Kubectl(record)
        self.pushed: dict[str, dict[str, bytes]] = {}  # folder on the head -> files that the next job is to find there

    def check_here(self) -> None:
        """Raises UserError unless this machine may make jobs there."""
        self.kubectl.check_here()
        done = self.kubectl.run("auth", "can-i", "create", "rayjobs.ray.io")
        said = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode or "doesn't have a resource type" in said:
            raise self.kubectl.failure(said if said.strip() != "no" else "forbidden: create rayjobs.ray.io")

    def check(self) -> list[str]:
        """What was found, in lines: the cluster itself looks at a job, and makes none. Raises UserError."""
        self.check_here()
        job = manifest(self.record, "check", "true", {})
        said = self.kubectl.ask("create", "--dry-run=server", "--filename=-", given=job)
        return [line for line in said.splitlines() if line.strip()]

    def push(self, folder: Path, there: str) -> None:
        """Have the next job find the files of a folder in the folder `there` of its head."""
        self.pushed[there] = {file.name: file.read_bytes() for file in folder.iterdir()}

    def pull(self, there: str, folder: Path, exclude: Sequence[str] = ()) -> None:
        """Copies what is in the folder `there` of the head into a folder here. Raises UserError."""
        pod = self._head_of(self._job_in(Path(there)))
        if pod is None:
            raise UserError(f"{there}: its pod is gone, and its disk. What was saved is in {self.record.store}.")
        left_out = [f"--exclude={tar_pattern(pattern)}" for pattern in exclude]
        words = ["exec", pod, "--container=ray-head", "--", "tar", f"--directory={there}", *left_out, "-cf", "-", "."]
        with tempfile.TemporaryDirectory() as scratch:
            packed = Path(scratch) / "files.tar"
            done = self.kubectl.run(*words, to=packed)
            if done.returncode not in (0, CHANGED):
                raise self.kubectl.failure(done.stderr.decode(errors="replace"))
            folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(packed) as tar:
                tar.extractall(folder, filter="data")

    def submit(
        self,
        job_id: str,
        entrypoint: str,
        working_dir: Path,
        env: Mapping[str, str],
        resources: Mapping[str, float] | None = None,
    ) -> None:
        check_settings(env)
        if self._found(job_id):
            return
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(working_dir, Path(scratch) / "code")
            for there, files in self.pushed.items():
                place = Path(scratch) / Path(there).relative_to(PLACE)
                place.mkdir(parents=True)
                for name, content in files.items():
                    (place / name).write_bytes(content)
            secret = files_secret(self.record, job_id, Path(scratch))
        job = manifest(self.record, job_id, entrypoint, PRINTABLE | dict(env))
        job["metadata"]["annotations"][FOLDER] = self._folder_of_next()
        self.kubectl.run("delete", "secret", name_of(job_id), "--ignore-not-found")  # of a submission that failed
        self.kubectl.ask("create", "--filename=-", given=secret)  # `apply` would keep it in an annotation too
        self.kubectl.ask("create", "--filename=-", given=job)

    def status(self, job_id: str) -> State:
        return state_of(self._known(job_id))

    def stop(self, job_id: str) -> State:
        deadline, asked = time.monotonic() + STOP_S + MARGIN_S, False
        while not (state := self.status(job_id)).ended:
            pod = self._head_of(job_id)
            if pod is None:  # its driver has not begun
                self.kubectl.ask("delete", "rayjob,secret", name_of(job_id), "--ignore-not-found")
                return State("STOPPED", STOPPED, "")
            if time.monotonic() > deadline:
                raise UserError(f"{job_id}: still {state.status} long after it was stopped. Stop it again.")
            if not asked:
                stop = ["ray", "job", "stop", "--no-wait", "--address=http://127.0.0.1:8265", job_id]
                asked = not self.kubectl.run("exec", pod, "--container=ray-head", "--", *stop).returncode
            time.sleep(PAUSE_S)
        return state

    def logs(self, job_id: str) -> str:
        self._known(job_id)
        done = self.kubectl.run("logs", f"job/{name_of(job_id)}")
        return "" if done.returncode else done.stdout.decode(errors="replace")

    def follow(self, job_id: str, reopen: Callable[[], str]) -> Iterator[str]:
        given, told = 0, ""
        while True:
            job = self._known(job_id)
            state = state_of(job)
            if not state.ended and (news := job.get("status", {}).get("jobDeploymentStatus", "New")) != told:
                told = news
                yield f"kuberay      {name_of(job_id)}: {told.lower()}"
            command = ["logs", f"job/{name_of(job_id)}"] + ([] if state.ended else ["--follow"])
            for number, line in enumerate(self.kubectl.lines(*command), start=1):
                if number > given:
                    given = number
                    yield line
            if state.ended:
                return
            time.sleep(PAUSE_S)

    def list(self) -> tuple[Listed, ...]:
        mine = self._jobs(labels())
        listed = (Listed(id_of(job), job["spec"]["entrypoint"], state_of(job), made(job), None) for job in mine)
        return tuple(sorted(listed, key=lambda job: job.started))

    def remove(self) -> "list[str]":
        """Remove all that this user has made there from this machine. Returns why that is not certain."""
        try:
            self.kubectl.ask("delete", "rayjobs,secrets", selector(labels()), "--ignore-not-found")
        except UserError as error:
            return [*error.lines]
        return []

    def _found(self, job_id: str) -> dict[str, Any] | None:
        try:
            return self.kubectl.read("get", "rayjob", name_of(job_id))
        except NoJob:
            return None

    def _known(self, job_id: str) -> dict[str, Any]:
        if job := self._found(job_id):
            return job
        raise NoJob(f"{job_id}: the namespace {self.record.namespace} has no such job.")

    def _folder_of_next(self) -> str:
        """The folder, below that of all sweeps, in which the next job works."""
        configs = [files[layout.CONFIG] for files in self.pushed.values() if layout.CONFIG in files]
        return json.loads(configs[-1])["target"].partition("/")[0] if configs else ""

    def _job_in(self, place: Path) -> str:
        """The id of the last job that works in a sweep's folder on its head."""
        name, found = place.relative_to(RUNS).parts[0], self._jobs(MADE_BY)
        mine = [job for job in found if job["metadata"]["annotations"].get(FOLDER) == name]
        if not mine:
            raise NoJob(f"{name}: the namespace {self.record.namespace} has no job of it.")
        return id_of(max(mine, key=made))

    def _jobs(self, labelled: Mapping[str, str]) -> "list[dict[str, Any]]":
        found = self.kubectl.read("get", "rayjobs", selector(labelled))["items"]
        return [job for job in found if JOB in job["metadata"].get("annotations", {})]

    def _head_of(self, job_id: str) -> str | None:
        """The pod of a job's head, while it is there."""
        job = self._found(job_id) or {}
        if not (cluster := job.get("status", {}).get("rayClusterName")):
            return None
        which = f"--selector=ray.io/cluster={cluster},ray.io/node-type=head"
        pods = self.kubectl.ask("get", "pods", which, "--field-selector=status.phase=Running", "--output=name").split()
        return pods[0] if pods else None


def selector(labelled: Mapping[str, str]) -> str:
    """The option of kubectl for all that has these labels."""
    return f"--selector={','.join(f'{name}={value}' for name, value in labelled.items())}"


def state_of(job: Mapping[str, Any]) -> State:
    """The state of a RayJob. Ray's own words tell the exit code of its driver."""
    known = job.get("status", {})
    status, message = known.get("jobStatus") or "PENDING", known.get("message") or ""
    if status == "STOPPED":
        return State("STOPPED", STOPPED, message)
    if status == "SUCCEEDED":
        return State("SUCCEEDED", 0, message)
    if known.get("reason") == DEADLINE:
        return State("FAILED", None, "its `max_hours` are over, and the operator has ended it.")
    if status == "FAILED" or known.get("jobDeploymentStatus") == "Failed":
        code = EXIT_CODE.search(message)
        return State("FAILED", code and shells(int(code[1])), message)
    return State(status, None, message)


def shells(code: int) -> int:
    """The exit code of a process as shells tell it: Python has -15 where a signal has killed it."""
    return 128 - code if code < 0 else code


def id_of(job: Mapping[str, Any]) -> str:
    return job["metadata"]["annotations"][JOB]


def made(job: Mapping[str, Any]) -> float:
    """When it was made, in unix seconds."""
    return float(calendar.timegm(time.strptime(job["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")))


def tar_pattern(pattern: str) -> str:
    """A pattern of rsync for tar, to whom every path begins with `./`."""
    if pattern.startswith("/"):
        return f".{pattern}"
    return HIDDEN if pattern == ".*" else pattern
