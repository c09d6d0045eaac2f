"""A machine of a lab: it starts, runs commands, loses power and starts again."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import ROOT
from tests.support.waiting import until

STEPS = Path(__file__).with_name("machines.sh")
START_S = 60.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIDDEN = ("/tmp", "/run", "/dev", "/proc", "/sys")  # a machine has its own


def elsewhere() -> list[Path]:
    """What a machine must see of the project and its Python beyond the disk of this machine's root."""
    needed = {ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    disk = os.stat("/").st_dev
    return sorted(path for path in needed if path.stat().st_dev != disk or f"/{path.parts[1]}" in HIDDEN)


@dataclass
class Host:
    """One machine. `address` is that of its only network interface; root may log in with the lab's key."""

    name: str
    number: int
    """The last part of its address."""
    folder: Path
    """Of the lab."""
    keeper: int
    """The process that holds the lab's network."""
    disk_mib: int
    public_key: str
    settings: dict[str, str]
    """The environment that sshd gives to commands."""
    process: subprocess.Popen | None = field(default=None, init=False)
    pid: int = field(default=0, init=False)
    """Its process 1, as this machine counts."""

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}"

    @property
    def port(self) -> str:
        """The end of its cable in the network."""
        return f"port{self.number}"

    @property
    def disk(self) -> Path:
        return self.folder / "disks" / self.name

    def start(self, new: bool = False) -> None:
        """Starts the machine and waits for its sshd. A `new` one has an empty disk and another host key."""
        assert self.process is None, f"{self.name} is running"
        if new:
            self._in_lan("umount", str(self.disk))
        noted = self.folder / f"{self.name}.pid"
        noted.unlink(missing_ok=True)
        settings = {
            "NAME": self.name,
            "ADDRESS": self.address,
            "PORT": self.port,
            "MAC": f"02:00:00:00:01:{self.number:02x}",
            "FOLDER": str(self.folder),
            "DISK": str(self.disk),
            "DISK_MIB": str(self.disk_mib),
            "PUBLIC_KEY": self.public_key,
            "SETTINGS": " ".join(f"{name}={value}" for name, value in self.settings.items()),
            "PATH": PATH,
        }
        enter = ["nsenter", f"--target={self.keeper}", "--net", "--mount", "--pid"]
        with (self.folder / f"{self.name}.log").open("w") as log:
            self.process = subprocess.Popen(
                [*enter, "bash", str(STEPS), "boot"],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: noted.exists() or self._ended(), START_S)
        self.pid = int(noted.read_text())
        until(lambda: Path(f"/proc/{self.pid}/root/run/sshd.pid").exists() or self._ended(), START_S)

    def kill(self) -> None:
        """The machine loses power: it says goodbye to nobody. Its disk stays."""
        self.plug(False)
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def plug(self, connected: bool) -> None:
        """Connects the machine's cable, or cuts it."""
        self._in_lan("ip", "link", "set", self.port, "up" if connected else "down")

    def run(self, command: str) -> str:
        """The standard output of a command of bash on this machine, by root. Raises CalledProcessError."""
        words = ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd", "bash", "-c", command]
        settings = {"PATH": PATH, "HOME": "/root"}
        return subprocess.run(words, env=settings, stdout=subprocess.PIPE, text=True, check=True).stdout

    def _in_lan(self, *command: str) -> None:
        subprocess.run(["nsenter", f"--target={self.keeper}", "--net", "--mount", *command], check=True)

    def _ended(self) -> bool:
        """Raises AssertionError, with what the machine has said, if it ended instead of starting."""
        assert self.process.poll() is None, (self.folder / f"{self.name}.log").read_text()
        return False
