"""What runs on the nodes that Slurm has given to a job: a Ray over all of them, and the driver on the first.

`Slurm.script` starts it by `python -m orchestrator.clusters.slurm.allocation run`, in the place of the batch script: so
Slurm's signals come here. It starts itself as `node` on each node. `JobFiles` is what it leaves for `slurm_jobs.py`.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from orchestrator.clusters import on_host
from orchestrator.clusters.job_system import PRINTABLE, STOPPED
from orchestrator.clusters.local import ENVIRONMENT
from orchestrator.storage import layout
from orchestrator.storage.json_files import write_whole

START_S = 240.0  # for Ray to be up on all nodes; srun itself waits for a node that is down for ever
ENDING_S = 30.0  # for Ray to end on all nodes
KILLED_S = 10.0  # for srun to have killed what is left there
REQUEUED_S = 60.0  # for Slurm to end this job once it has queued it again
ASK_S = 30.0  # for an answer of Slurm's commands
PAUSE_S = 0.5
AGAIN_S = 3.0  # before another attempt to start Ray on a node
FIRST_PORT, PORTS, JOBS_APART = 20000, 3, 4000  # above those of Ray's workers, below those that systems give out
STEP = "step"  # in a node's scratch folder: the number of srun's step in the job
ENDINGS = (signal.SIGUSR1, signal.SIGTERM)  # what ends a node: this program, and Slurm
LOST = -1  # in place of the driver's exit code, where it was lost
OBJECT_STORE_BYTES = 512 * 2**20  # results are small, and files do not travel


class Lost(Exception):
    """The driver cannot run, for the reason in its text."""


@dataclass(frozen=True)
class JobFiles:
    """The files in a job's folder by which this program and the user's machine tell each other how it stands."""

    place: Path

    @property
    def number(self) -> Path:
        """Slurm's number of the job, once it has taken it."""
        return self.place / "slurm_job"

    @property
    def stop(self) -> Path:
        """There once the user has stopped the job: it is not queued again."""
        return self.place / "stop"

    @property
    def end(self) -> Path:
        """There once the job has ended: the driver's exit code, or LOST, and the reason."""
        return self.place / "end"

    @property
    def token(self) -> Path:
        """The token of the job's Ray, which `on_host` reads."""
        return self.place / "token"

    @property
    def srun_log(self) -> Path:
        """What srun says of the nodes."""
        return self.place / "srun.log"

    def ended(self) -> tuple[int, str] | None:
        """What `end` holds, if it is there."""
        with suppress(FileNotFoundError):
            code, _, reason = self.end.read_text(encoding="utf-8").strip().partition(" ")
            return int(code), reason
        return None

    def note_end(self, code: int, reason: str = "") -> None:
        write_whole(self.end, f"{code} {reason}\n")

    def new_token(self) -> None:
        self.token.unlink(missing_ok=True)
        with os.fdopen(os.open(self.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))

    def work(self) -> tuple[int, int]:
        """How much the job has done: epochs of its sweep, and bytes of its evaluations."""
        job = json.loads((self.place / layout.CONFIG).read_text(encoding="utf-8"))
        folder = Path(job["out"]).expanduser() / job["target"].partition("/")[0]
        journal = folder / layout.JOURNAL
        lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
        return sum('"epoch"' in line for line in lines), sum(
            file.stat().st_size for file in folder.rglob(layout.EVALUATIONS)
        )


class Allocation:
    """The nodes of this job, from its start to its end."""

    def __init__(self, place: Path, nodes: int, cpus: int, gpus: int):
        self.files, self.nodes, self.cpus, self.gpus = JobFiles(place), nodes, cpus, gpus
        self.job = int(os.environ["SLURM_JOB_ID"])
        self.driver: subprocess.Popen | None = None
        self.warned = False

    def run(self, entrypoint: str) -> int:
        """Run the driver. Returns the exit code of the job."""
        if self.files.stop.exists():  # while it waited to go on
            self._end(STOPPED)
            return STOPPED
        signal.signal(signal.SIGTERM, self._end_driver)
        before = self.files.work()
        try:
            code = self._drive(entrypoint)
        except (Lost, on_host.Failed, OSError) as error:
            self._end(LOST, str(error))
            return 1
        if code == STOPPED and self.warned and not self.files.stop.exists():
            return self._go_on(self.files.work() != before)
        self._end(code)
        return code

    def _drive(self, entrypoint: str) -> int:
        """The exit code of the driver, as in shells. Raises Lost."""
        self.files.new_token()
        address = on_host.own_address(socket.gethostname())
        ray = self._start_ray(address)
        try:
            self._wait(ray)
            if self.warned:
                return STOPPED
            environment = node_environment(self.job, address, self.files) | PRINTABLE
            environment["RAY_ADDRESS"] = f"{address}:{ports(self.job)[0]}"
            self.driver = subprocess.Popen(["bash", "-c", entrypoint], env=environment)
            if self.warned:  # meanwhile
                self.driver.terminate()
            code = self.driver.wait()
            return 128 - code if code < 0 else code
        finally:
            self._end_ray(ray)

    def _start_ray(self, address: str) -> subprocess.Popen:
        """One task of srun on each node. The first one, here, starts Ray's head."""
        sizes = [f"--nodes={self.nodes}", f"--ntasks={self.nodes}", "--ntasks-per-node=1"]
        alone = ["--kill-on-bad-exit=0", "--wait=0", "--no-kill"]  # the loss of one node is not that of all
        node = [sys.executable, "-m", __spec__.name, "node", "--cpus", self.cpus, "--gpus", self.gpus, self.files.place]
        words = map(str, ["srun", *sizes, f"--cpus-per-task={self.cpus}", *alone, *node, address])
        with self.files.srun_log.open("wb") as log:
            return subprocess.Popen(list(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _end_ray(self, ray: subprocess.Popen) -> None:
        """Have the nodes end Ray and clean up. For SIGTERM Slurm would cancel the step, and kill it soon."""
        step = Path(f"/tmp/{mark_of(self.job)}/{STEP}")
        if step.exists():
            self._asked("scancel", "--signal=USR1", f"{self.job}.{step.read_text()}")
            with suppress(subprocess.TimeoutExpired):
                ray.wait(ENDING_S)
        ray.terminate()
        with suppress(subprocess.TimeoutExpired):
            ray.wait(KILLED_S)
        ray.kill()

    def _wait(self, ray: subprocess.Popen) -> None:
        """Wait until Ray is up on all nodes. Raises Lost."""
        deadline = time.monotonic() + START_S
        order = {"folder": str(self.files.place), "dashboard_port": ports(self.job)[1]}
        alive: list[str] = []
        while len(alive) < self.nodes and not self.warned:
            if ray.poll() is not None:
                said = self.files.srun_log.read_text(errors="replace").partition("error: ")[2].partition("\n")[0]
                raise Lost(f"srun has not started Ray on the nodes of job {self.job}: {said or 'it says nothing'}")
            if time.monotonic() > deadline:
                up = f"Ray is up on {len(alive)} of {self.nodes} nodes of job {self.job} after {START_S:g} s"
                raise Lost(f"{up}: look at {os.environ.get('SLURM_JOB_NODELIST', 'its nodes')} with `sinfo`.")
            time.sleep(PAUSE_S)
            with suppress(OSError, ValueError, KeyError):
                alive = on_host.alive_nodes(order)

    def _go_on(self, progress: bool) -> int:
        """Have Slurm queue this job again, whose time is over. Returns the exit code where it does not."""
        if self._asked("squeue", "--noheader", f"--jobs={self.job}", "--format=%T") != "RUNNING":
            return STOPPED  # cancelled, or queued again already as a node has failed
        if not progress:
            self._end(STOPPED, "Its time was over before anything new was done. Write more `hours`.")
            return STOPPED
        print(f"The time limit has come. Job {self.job} is queued again, and goes on from here.", flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self._asked("scontrol", "requeue", str(self.job)) is None:
            self._end(STOPPED, "Its time was over, and Slurm has refused to queue it again.")
            return STOPPED
        time.sleep(REQUEUED_S)
        return STOPPED

    def _end(self, code: int, reason: str = "") -> None:
        """Note that the job has ended, and say why, if that is not clear from its log."""
        if reason:
            print(reason, flush=True)
        self.files.note_end(code, reason)

    def _asked(self, *words: str) -> str | None:
        """What a command of Slurm prints; None where it fails."""
        try:
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=ASK_S)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return None if done.returncode else done.stdout.strip()

    def _end_driver(self, number: int, frame: object) -> None:
        self.warned = True
        if self.driver:
            self.driver.terminate()


def ports(job: int) -> list[int]:
    """The ports of the job's Ray head: of its GCS, its dashboard and its client server. Others may share the node."""
    first = FIRST_PORT + PORTS * (job % JOBS_APART)
    return list(range(first, first + PORTS))


def mark_of(job: int) -> str:
    return f"vo-slurm-{job}"


def node_environment(job: int, address: str, files: JobFiles) -> dict[str, str]:
    """The environment of Ray's processes on the node with this address, and of the driver."""
    own = {"RAY_AUTH_MODE": "token", "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{ports(job)[1]}"}
    order = {"environment": ENVIRONMENT | own, "mark": mark_of(job), "address": address}
    return on_host.environment(order, files.place, Path(f"/tmp/{mark_of(job)}"))


def run_node(files: JobFiles, cpus: int, gpus: int, head: str) -> int:
    """Run Ray on this node until it is ended. Returns its exit code."""
    job, first = int(os.environ["SLURM_JOB_ID"]), os.environ["SLURM_PROCID"] == "0"
    mark, (gcs, dashboard, client) = mark_of(job), ports(job)
    on_host.end(mark)  # what an earlier life of the job may have left
    shutil.rmtree(f"/tmp/{mark}", ignore_errors=True)
    scratch, address = on_host.private_folder(f"/tmp/{mark}"), head if first else address_towards(head)
    Path(scratch, STEP).write_text(os.environ["SLURM_STEP_ID"])
    options = [
        f"--node-ip-address={address}",
        f"--num-cpus={cpus}",
        f"--num-gpus={gpus}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={scratch}/r",
        "--min-worker-port=0",  # any: other jobs may be on this node
        "--max-worker-port=0",
        "--dashboard-agent-listen-port=0",
        "--disable-usage-stats",
        "--log-color=false",
        "--block",
    ]
    of_head = [f"--port={gcs}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    of_head += ["--head", "--no-monitor", "--include-dashboard=true", "--dashboard-host=127.0.0.1"]
    on_host.allow_open_files()
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
    words += of_head if first else [f"--address={head}:{gcs}"]
    with (files.place / f"ray-{socket.gethostname()}.log").open("w") as log:
        code = until_ended(words, node_environment(job, address, files), log)
    shutil.rmtree(scratch, ignore_errors=True)
    return code


def until_ended(words: list[str], environment: dict[str, str], log: TextIO) -> int:
    """Run `ray start --block` until it is ended. Returns its exit code.

    It fails where the head is not there yet, and on a busy machine: then it is tried again, for START_S altogether.
    """
    ended, deadline = threading.Event(), time.monotonic() + START_S
    while True:
        with subprocess.Popen(words, env=environment, stdout=log, stderr=log) as ray:
            for number in ENDINGS:
                signal.signal(number, lambda number, frame: (ended.set(), ray.kill()))
            if ended.is_set():  # meanwhile
                ray.kill()
            code = ray.wait()
        on_host.end(environment[on_host.MARK])  # what it has started
        if not code or ended.is_set() or time.monotonic() > deadline:
            return max(code, 0)
        ended.wait(AGAIN_S)


def address_towards(head: str) -> str:
    """The address of the interface by which this node reaches the head."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((head, 9))  # sends nothing
        return probe.getsockname()[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a sweep's driver, or a node of its Ray, in a job of Slurm.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("run", "node"):
        words = verbs.add_parser(verb)
        if verb == "run":
            words.add_argument("--nodes", type=int, required=True)
        words.add_argument("--cpus", type=int, required=True)
        words.add_argument("--gpus", type=int, required=True)
        words.add_argument("place", type=Path)
        words.add_argument("what", help="the driver's command line; for a node, the head's address")
    asked = parser.parse_args()
    if asked.verb == "node":
        return run_node(JobFiles(asked.place), asked.cpus, asked.gpus, asked.what)
    return Allocation(asked.place, asked.nodes, asked.cpus, asked.gpus).run(asked.what)


if __name__ == "__main__":
    sys.exit(main())
