"""A Slurm of Debian's packages on machines of a lab: its controller is on the laptop, which is the login node."""

import secrets
import shlex
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

from tests.support.lab import Host, Lab
from tests.support.lab import unavailable as no_lab
from tests.support.lab.host import PATH
from tests.support.lab.network import LAPTOP
from tests.support.waiting import until

PROGRAMS = ("munged", "sbatch", "slurmctld", "slurmd", "srun")
CPUS = 2  # of each node, as Slurm counts
UP_S = 60.0
FROZEN_S = 300.0
CONF = """\
ClusterName=lab
SlurmctldHost={laptop}({address})
AuthInfo=socket={folder}/munge/socket
SlurmUser=root
SlurmdUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile=/tmp/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir=/tmp/slurmd
SlurmdTimeout=600
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
PartitionName=lab Nodes=ALL Default=YES MaxTime=60 State=UP
"""
CGROUP_CONF = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n"


@cache
def unavailable() -> str | None:
    """Why there can be no Slurm here; None if there can."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if missing:
        return f"Slurm needs {', '.join(missing)}: install slurmctld, slurmd, slurm-client and munge"
    return no_lab()


class SlurmLab:
    """Slurm on a lab, whose machines it starts. `folder` is an empty one, which the lab does not share yet."""

    def __init__(self, lab: Lab, folder: Path, nodes: tuple[str, ...]):
        self.lab, self.folder = lab, folder.resolve()
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        (self.folder / "state").mkdir()
        self.munge = self.folder / "munge"
        self.munge.mkdir()
        (self.munge / "key").write_bytes(secrets.token_bytes(128))
        (self.munge / "key").chmod(0o400)
        names = {"laptop": socket.gethostname(), "address": LAPTOP, "folder": self.folder}
        lines = [f"NodeName={name} NodeAddr=10.77.0.{number + 2} CPUs={CPUS}" for number, name in enumerate(nodes)]
        (self.folder / "slurm.conf").write_text(CONF.format(**names) + "".join(f"{line}\n" for line in lines))
        (self.folder / "cgroup.conf").write_text(CGROUP_CONF)
        self.environment = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self._on_laptop([*self._munged(self.munge / "key", self.munge), "--foreground"])
        self._on_laptop(["slurmctld", "-D"])
        lab.share(self.folder)
        for name in nodes:
            self._begin(lab.host(name, disk_mib=1500))
        until(lambda: self.said("sinfo", "--noheader", "--format=%T %D").split() == ["idle", str(len(nodes))], UP_S)

    def _begin(self, host: Host) -> None:
        """Starts Slurm on a machine that has just started. What the machine writes is below its own /tmp."""
        key, quiet = Path("/tmp/munge.key"), "> /dev/null 2>&1 < /dev/null"
        host.run("mount -t tmpfs cgroup /sys/fs/cgroup")
        host.run(f"cp {self.munge}/key {key}; mkdir -m 755 /tmp/munge; mount --bind /tmp/munge {self.munge}")
        host.run(f"{shlex.join(self._munged(key, key.parent))} {quiet}")
        host.run(f"SLURM_CONF={self.folder}/slurm.conf slurmd -L /var/log/slurmd.log {quiet}")

    def said(self, *words: str) -> str:
        """What a command of Slurm prints on the laptop."""
        return self.lab.run(list(words), self.environment).stdout

    def number(self, sweep: str) -> str:
        """Slurm's number of the last job of a sweep."""
        files = self.shared.glob(f".jobs/{sweep}-*/slurm_job")
        return max(files, key=lambda file: file.stat().st_mtime).read_text().strip()

    def state(self, number: str) -> str:
        """How Slurm says that a job stands."""
        return self.said("squeue", "--noheader", "--states=all", f"--jobs={number}", "--format=%T").strip()

    def minutes_so_far(self, number: str) -> int:
        """Whole minutes that a job has run."""
        gone = self.said("squeue", "--noheader", f"--jobs={number}", "--format=%M").strip().split(":")
        return int(gone[-2]) + 60 * (int(gone[-3]) if len(gone) > 2 else 0)

    def freeze(self, node: str) -> None:
        """Has a trial on a node get on no more, as soon as one is there."""
        stop = "pkill --signal STOP --full '^ray::ResourceTrainable.train' && echo done || true"
        until(lambda: self.lab.hosts[node].run(stop) == "done\n", FROZEN_S)

    def _munged(self, key: Path, own: Path) -> list[str]:
        """The command that starts munge, whose socket is in the same place everywhere. `own` is a machine's folder."""
        files = {"key-file": key, "socket": self.munge / "socket"}
        files |= {name: own / f"munge.{name}" for name in ("log-file", "seed-file", "pid-file")}
        return ["munged", "--force", *(f"--{name}={path}" for name, path in files.items())]

    def _on_laptop(self, words: list[str]) -> None:
        program = shutil.which(words[0], path=PATH)
        with (self.folder / f"{words[0]}.log").open("w") as log:
            self.lab.popen([program, *words[1:]], self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
