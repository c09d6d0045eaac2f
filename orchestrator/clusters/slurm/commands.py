"""Runs Slurm's commands on this machine. What they refuse is told in a line that names the key of the cluster file."""

import os
import re
import subprocess
from collections.abc import Mapping

from orchestrator.clusters.job_server import NoAnswer
from orchestrator.errors import UserError

ANSWER_S = 60.0  # for a command
SECRET = re.compile("SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|_KEY")
REFUSALS = {  # words of sbatch -> the key of the cluster file, and the cure
    "invalid partition": ("partition", "`sinfo` lists those that there are."),
    "invalid account": ("account", "`sacctmgr show associations user=$USER` lists yours."),
    "node configuration is not available": ("nodes", "No node has so many `cpus` and `gpus`: `sinfo -o '%P %c %G'`."),
    "more processors requested": ("nodes", "The partition has fewer nodes or CPUs: `sinfo -o '%P %D %c'`."),
    "requested time limit": ("hours", "`sinfo -o '%P %l'` lists the time limits of partitions."),
    "time limit exceeds": ("hours", "`sinfo -o '%P %l'` lists the time limits of partitions."),
    "generic resource": ("gpus", "`sinfo -o '%P %G'` lists what nodes have."),
    "unrecognized option": ("options", "`man sbatch` lists what it takes."),
    "invalid option": ("options", "`man sbatch` lists what it takes."),
}
OUT_OF_REACH = ("unable to contact slurm controller", "connection refused", "establish a configuration source")


class SlurmCommands:
    """The commands, for a record of kind `slurm`."""

    def __init__(self, record):
        self.record = record

    def ask(self, words: list[str], script: str | None = None, errors_too: bool = False) -> str:
        """What a command of Slurm prints. Raises UserError."""
        done = self.run(words, script)
        if done.returncode:
            raise self.failure(words[0], done.stderr)
        return done.stdout + done.stderr if errors_too else done.stdout

    def run(self, words: list[str], script: str | None = None) -> subprocess.CompletedProcess:
        """Runs a command of Slurm. Its exit code is the caller's to judge. Raises UserError."""
        try:
            return subprocess.run(
                words,
                input=script or "",
                env=environment(os.environ),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ANSWER_S,
            )
        except FileNotFoundError:
            raise UserError(f"{words[0]} is not installed on this machine. Type it on a login node.") from None
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"{words[0]} has not answered within {ANSWER_S:g} s. Is Slurm's controller up?") from None

    def failure(self, program: str, errors: str) -> UserError:
        """The error to raise for a command that has failed."""
        lines = [line.partition("error: ")[2] or line for line in errors.splitlines() if line.strip()]
        said, lower = (lines[-1].strip().rstrip(".") if lines else "it says nothing"), errors.lower()
        if any(words in lower for words in OUT_OF_REACH):
            return NoAnswer(f"{program}: Slurm's controller does not answer ({said}). Is it up?")
        for words, (key, cure) in REFUSALS.items():
            if words in lower:
                value = getattr(self.record, key)
                written = ", ".join(value) if isinstance(value, tuple) else "the default" if value is None else value
                return UserError(f"{key}: {written}: Slurm refuses it ({said}). {cure}")
        return UserError(f"{program}: Slurm refuses this: {said}.")


def environment(known: Mapping[str, str]) -> dict[str, str]:
    """The environment of Slurm's commands, which sbatch hands on to the job and may keep in its accounts: no secrets.

    What the user has set for sbatch there would overrule the script.
    """
    return {
        name: value
        for name, value in known.items()
        if not SECRET.search(name.upper()) and not name.startswith("SBATCH_")
    }
