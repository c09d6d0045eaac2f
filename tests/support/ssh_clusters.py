"""The command line on the laptop of a lab, a cluster of the lab's hosts, and sweeps that are sent there."""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.exposure import SECRETS
from tests.support.lab import Host, Lab
from tests.support.waiting import until

ENDED_S = 600.0  # for a command, on a busy machine
CLUSTER = f"""\
kind: ssh
head: gpu1
workers: [gpu2, gpu3]
python: {sys.executable}
cpus: 1
gpus: 0
checkpoint_minutes: 0.01
"""
SWEEP = """\
name: whole
run:
  method: {name: beta_vae}
  network: {name: mlp, hidden: [16], latent_dim: 4}
  data: {name: digits}
  batch_size: 1
  epochs: 4
search:
  method.beta: {loguniform: [0.05, 5]}
trials: 4
scheduler: {name: none}
"""
ASHA = "scheduler: {name: asha, grace_epochs: 1, reduction_factor: 2}\n"


@dataclass(frozen=True)
class Running:
    """A command that runs on the laptop, and the file to which all goes that it prints."""

    process: subprocess.Popen
    file: Path

    def said(self) -> str:
        return self.file.read_text()

    def until_said(self, text: str) -> None:
        """Wait until it has printed a text. Raises AssertionError if it ends without."""
        until(lambda: text in self.said() or self.process.poll() is not None, ENDED_S)
        assert text in self.said(), self.said()

    def code(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(ENDED_S)


@dataclass(frozen=True)
class Laptop:
    """The laptop of a lab. Commands run in `folder`, which has the files of cluster and sweeps."""

    lab: Lab
    folder: Path

    @property
    def head(self) -> Host:
        return self.lab.hosts["gpu1"]

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def vaeorch(self, *words) -> subprocess.CompletedProcess:
        """What a command says, and its exit code."""
        return self.lab.run(self._words(words), SECRETS, self.folder, ENDED_S)

    def does(self, *words) -> str:
        """What a command prints. Raises AssertionError unless it succeeds."""
        done = self.vaeorch(*words)
        assert done.returncode == 0, f"{shlex.join(map(str, words))}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *words) -> Running:
        """Start a command, which goes on beside the test."""
        file = self.folder / f"said-{len(list(self.folder.glob('said-*')))}"
        with file.open("w") as said:
            how = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": subprocess.STDOUT}
            return Running(self.lab.popen(self._words(words), SECRETS, self.folder, **how), file)

    def events(self, sweep: str, kind: str = "") -> list[dict]:
        """The events of a sweep's journal on the head, as far as it has come; of one kind, if it is named."""
        lines = self.head.run(f"cat ~/vaeorch-runs/{sweep}/journal.jsonl 2> /dev/null || true").splitlines()
        events = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in events if kind in ("", event["event"])]

    def log(self, sweep: str, out: str = "out") -> str:
        """The log of a sweep's last job as it lies on the head: what its driver has printed."""
        job = json.loads((self.folder / out / ".clusters" / f"{sweep}.json").read_text())["job"]
        return self.head.run(f"cat /tmp/vo-*/r/session_latest/logs/job-driver-{job}.log")

    def _words(self, words: tuple) -> list[str]:
        return [sys.executable, "-m", "orchestrator", *map(str, words)]


def results_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def metrics_of(folder: Path) -> dict[str, list[dict]]:
    """The metrics of each epoch of each trial, without the time that it took: floats as JSON has them, to the bit."""
    files = sorted(folder.glob("trials/*/metrics.jsonl"))
    lines = {file.parent.name: map(json.loads, file.read_text().splitlines()) for file in files}
    return {trial: [{k: v for k, v in line.items() if k != "seconds"} for line in of] for trial, of in lines.items()}


def decisions_of(folder: Path) -> list[dict]:
    """What became of each trial, but for what depends on the machine: paths, and what was tried again."""
    known = ("id", "config", "seed", "status", "epochs", "reason", "last", "best")
    return [{name: trial[name] for name in known} for trial in results_of(folder)["trials"]]


def drawn(folder: Path) -> dict[str, bytes]:
    """The pictures of a sweep, by their path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("trials/*/pictures/*/*"))}
