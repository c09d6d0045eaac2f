"""A region of AWS in a lab: EC2 whose machines are hosts of the lab, on a network of their own that leads nowhere.

Nothing but AWS itself is pretended: Ray's launcher and autoscaler do with it what they do with AWS.
"""

import json
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.support import ROOT
from tests.support.fake_ec2_server import CREDENTIALS
from tests.support.lab import Lab
from tests.support.ssh_clusters import ENDED_S, Running
from tests.support.waiting import until

BILLED = ("pending", "running", "shutting-down", "stopping", "stopped")
DISK_MIB = 800
NOTICE_S = 120


class FakeEC2:
    """EC2 for as long as the context lasts. `folder` is where commands of the laptop run.

    Its machines let in who has the key that the laptop has made for its only cluster.
    """

    def __init__(self, lab: Lab, folder: Path):
        self.lab, self.folder = lab, folder
        self.machines: list[dict[str, Any]] = []
        self.subnet = ""

    def __enter__(self) -> "FakeEC2":
        words = [sys.executable, "-m", "tests.support.fake_ec2_server", self.folder]
        how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": (self.folder / "ec2.log").open("w")}
        self.process = self.lab.popen(words, cwd=ROOT, text=True, **how)
        threading.Thread(target=self._read, daemon=True).start()
        until(lambda: self.subnet or self.process.poll() is not None, ENDED_S)
        assert self.subnet, (self.folder / "ec2.log").read_text()
        return self

    def __exit__(self, *error) -> None:
        self.process.kill()
        self.process.wait()

    def vaeorch(self, *words) -> subprocess.CompletedProcess:
        """What a command on the laptop says, and its exit code."""
        return self.lab.run(self._words(words), CREDENTIALS, self.folder, ENDED_S)

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
            return Running(self.lab.popen(self._words(words), CREDENTIALS, self.folder, **how), file)

    def billed(self, kind: str = "") -> list[dict[str, Any]]:
        """The machines that are billed: all, or those that Ray calls `head` or `worker`."""
        return [one for one in self.machines if one["state"] in BILLED and kind in ("", one["kind"])]

    def give_notice(self, machine: dict[str, Any]) -> None:
        """AWS says that it takes a spot machine away; wait until Ray knows."""
        gone = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + NOTICE_S))
        notice = {"action": "terminate", "time": gone}
        (self.folder / f"notice-{machine['address']}").write_text(json.dumps(notice))
        log = "cat ~/.local/state/vaeorch/on_worker.py.log"
        until(lambda: "the node is drained" in self.lab.hosts[machine["id"]].run(log), ENDED_S)

    def refuse(self, *kinds: str) -> None:
        """From here on AWS has no machines of these kinds, such as `spot c5.large`."""
        (self.folder / "refused").write_text("".join(f"{kind}\n" for kind in kinds))

    def take(self, machine: str) -> None:
        """AWS ends a machine, as it does with spot machines."""
        words = ["import boto3", "ec2 = boto3.client('ec2', region_name='us-west-2')"]
        words.append(f"ec2.terminate_instances(InstanceIds=['{machine}'])")
        assert not self.lab.run([sys.executable, "-c", "; ".join(words)], CREDENTIALS).returncode

    def snapshots(self, sweep: str) -> list[str]:
        """The snapshots of a sweep in the bucket, oldest first."""
        words = ["import boto3", "s3 = boto3.client('s3', region_name='us-west-2')"]
        words.append(f"found = s3.list_objects_v2(Bucket='bucket', Prefix='prefix/{sweep}/manifests/')")
        words.append("print(*sorted(one['Key'] for one in found.get('Contents', ())))")
        return self.lab.run([sys.executable, "-c", "; ".join(words)], CREDENTIALS).stdout.split()

    def _words(self, words: tuple) -> list[str]:
        return [sys.executable, "-m", "orchestrator", *map(str, words)]

    def _read(self) -> None:
        """Starts and ends the lab's hosts as the server tells of machines."""
        for line in self.process.stdout:
            told = json.loads(line)
            self.subnet = told.get("subnet", self.subnet)
            for one in told.get("machines", ()):
                host = self.lab.hosts.get(one["id"])
                if one["state"] in ("pending", "running") and host is None:
                    number = int(one["address"].rpartition(".")[2])
                    settings = CREDENTIALS | {"AWS_DEFAULT_REGION": "us-west-2"}
                    self.lab.host(one["id"], DISK_MIB, settings, number, self._public_key())
                elif one["state"] == "terminated" and host and host.process:
                    host.kill()
            self.machines = told.get("machines", self.machines)

    def _public_key(self) -> str:
        """The key whose other half the launcher has."""
        [file] = (self.lab.home / ".local" / "state" / "vaeorch").glob("*/key.pem")
        public = load_pem_private_key(file.read_bytes(), None).public_key()
        return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
