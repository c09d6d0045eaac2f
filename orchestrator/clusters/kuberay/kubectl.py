"""Runs `kubectl` on this machine, and tells what it refuses in a line with the cure."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.clusters.job_server import NoAnswer, NoJob
from orchestrator.errors import UserError

ANSWER_S = 120.0  # for a command
OUT_OF_REACH = ("unable to connect to the server", "was refused", "i/o timeout", "no such host", "tls handshake")
NO_OPERATOR = "The KubeRay operator is not installed in this cluster ({said}). Have it installed."
REFUSALS = {  # words of kubectl, in lower case -> what to tell
    'error: context "': "context: {record.context}: your kubeconfig has no such cluster: `kubectl config"
    " get-contexts` lists those that it has.",
    "no matches for kind": NO_OPERATOR,
    "doesn't have a resource type": NO_OPERATOR,
    "namespaces": "namespace: {record.namespace}: cannot be used ({said}). Make it, or name another.",
    "forbidden": "namespace: {record.namespace}: you may not do this there ({said}). Ask for the right.",
    "must be logged in": "kubectl: the cluster does not let you in ({said}). Log in again.",
    "unauthorized": "kubectl: the cluster does not let you in ({said}). Log in again.",
    "exceeded quota": "namespace: {record.namespace}: its quota is used up ({said}).",
    "unknown field": "The KubeRay operator there is too old or too new for this ({said}): 1.5 or later is needed.",
}


class Kubectl:
    """`kubectl`, for a record of kind `kuberay`. Methods raise UserError, of which NoAnswer may be a moment's fault."""

    def __init__(self, record):
        self.record = record

    def check_here(self) -> None:
        """Raises UserError where it is not installed."""
        if not shutil.which("kubectl"):
            raise UserError("kubectl is not installed on this machine. Install it, and have it reach the cluster.")

    def words(self, *words: str) -> list[str]:
        context = [f"--context={self.record.context}"] if self.record.context else []
        return ["kubectl", *context, f"--namespace={self.record.namespace}", *words]

    def ask(self, *words: str, given: dict[str, Any] | None = None) -> str:
        """What it prints; an object that is `given` is its standard input."""
        done = self.run(*words, given=given)
        if done.returncode:
            raise self.failure(done.stderr.decode(errors="replace"))
        return done.stdout.decode(errors="replace")

    def read(self, *words: str) -> Any:
        """The object that it prints as JSON."""
        return json.loads(self.ask(*words, "--output=json"))

    def run(self, *words: str, given: dict[str, Any] | None = None, to: Path | None = None) -> Any:
        """Runs it. Its exit code is the caller's to judge. What it prints may go to a file."""
        self.check_here()
        text = json.dumps(given).encode() if given else b""
        try:
            if to is None:
                return subprocess.run(self.words(*words), input=text, capture_output=True, timeout=ANSWER_S)
            with to.open("wb") as file:
                return subprocess.run(self.words(*words), input=text, stdout=file, stderr=subprocess.PIPE)
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"kubectl {words[0]}: no answer within {ANSWER_S:g} s. Is the cluster up?") from None

    def lines(self, *words: str) -> Iterator[str]:
        """The lines that it prints, as they come, until it ends. Its errors are of no interest."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(self.words(*words), start_new_session=True, **how)  # Ctrl-C is for us
        try:
            for line in process.stdout:
                yield line.decode(errors="replace").rstrip("\n")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def failure(self, errors: str) -> UserError:
        """The error to raise for a command that has failed."""
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        said, lower = (lines[-1].removeprefix("error: ").rstrip(".") if lines else "it says nothing"), errors.lower()
        if any(words in lower for words in OUT_OF_REACH):
            return NoAnswer(f"kubectl: the cluster does not answer ({said}). Is it up, and your kubeconfig right?")
        for words, text in REFUSALS.items():
            if words in lower:
                return UserError(text.format(record=self.record, said=said))
        if "not found" in lower:
            return NoJob(f"kubectl: {said}.")
        return UserError(f"kubectl: Kubernetes refuses this: {said}.")
