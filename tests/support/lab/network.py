"""The network of a lab, and the laptop in it."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.support.lab.host import PATH, STEPS, Host, elsewhere

PROGRAMS = ("bash", "ip", "mount", "nsenter", "rsync", "ssh", "ssh-keygen", "sshd", "unshare")
LAPTOP = "10.77.0.1"
NAMESPACES = ("net", "mnt")  # in which the laptop differs from this machine
CLONE_FS = 0x200
NOT_THE_LAPTOPS = ("SSH_AUTH_SOCK", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
OWN_NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
PROBE = """
ip link add probe type bridge && mount -t tmpfs probe /mnt && mkdir /mnt/a /mnt/b /mnt/c &&
mount -t overlay -o lowerdir=/,upperdir=/mnt/a,workdir=/mnt/b probe /mnt/c
"""


@cache
def unavailable() -> str | None:
    """Why no lab can be made here; None if one can."""
    if sys.platform != "linux" or os.geteuid():
        return "a lab of machines needs root on Linux"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
    if missing:
        return f"a lab of machines needs {', '.join(missing)}: install openssh-server, rsync and iproute2"
    probe = subprocess.run([*OWN_NAMESPACES, "bash", "-c", PROBE], capture_output=True, text=True, check=False)
    return f"no lab of machines can be made here: {probe.stderr.strip()}" if probe.returncode else None


class Lab:
    """A network with machines, for as long as the context lasts, or this process: then all of it is gone.

    `folder` is an empty one for its files. `home` is the laptop's home folder, with a key that opens all machines.
    """

    def __init__(self, folder: Path):
        self.folder = folder.resolve()
        self.home = self.folder / "home"
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> "Lab":
        self._write_files()
        self.process = subprocess.Popen(
            [*OWN_NAMESPACES, "bash", str(STEPS), "lan"],
            env={"PATH": PATH, "FOLDER": str(self.folder), "ADDRESS": LAPTOP},
            stdin=subprocess.PIPE,  # ends when this process does, whatever ends it
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            assert self.process.stdout.readline() == b"ready\n", "the lab's network has not come up"
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
            self.keeper = int(children.read_text())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *error) -> None:
        for process in self._on_laptop():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._end()

    def host(
        self,
        name: str,
        disk_mib: int = 4096,
        settings: dict[str, str] | None = None,
        number: int | None = None,
        public_key: str = "",
    ) -> Host:
        """Starts a machine of this name with a disk of so many MiB, and a /tmp as big. Both are in memory.

        `settings` are in the environment of what is run there by SSH. `number` is the last part of its address, and
        `public_key` whom it lets in: by default the next one, and the laptop.
        """
        number = 2 + len(self.hosts) if number is None else number
        public_key = public_key or (self.home / ".ssh" / "id_ed25519.pub").read_text().strip()
        host = Host(name, number, self.folder, self.keeper, disk_mib, public_key, settings or {})
        self.hosts[name] = host
        with (self.folder / "hosts").open("a") as names:  # the same file on all machines
            names.write(f"{host.address} {name}\n")
        host.start()
        return host

    def share(self, folder: Path) -> None:
        """Machines that start from here on write to a folder of the laptop, as if it lay on a file server."""
        with (self.folder / "shared").open("a") as shared:
            shared.write(f"{folder.resolve()}\n")

    def cut(self, host: Host) -> None:
        """From here on no packet reaches the machine, and none comes from it."""
        host.plug(False)

    def heal(self, host: Host) -> None:
        host.plug(True)

    @contextmanager
    def cut_off(self, host: Host) -> Iterator[None]:
        """Inside this context no packet of the laptop reaches the machine; other machines do reach it."""
        self._route("add", host)
        try:
            yield
        finally:
            self._route("delete", host)

    def on_laptop_with(self, text: str) -> list[int]:
        """The processes on the laptop whose command line holds a text."""
        return [process for process in self._on_laptop() if text.encode() in _command(process)]

    def environment(self) -> dict[str, str]:
        """The environment of a program on the laptop."""
        own = {name: value for name, value in os.environ.items() if name not in NOT_THE_LAPTOPS}
        return own | {"HOME": str(self.home)}

    def popen(self, words: list, env: dict[str, str] | None = None, cwd: Path | None = None, **how) -> subprocess.Popen:
        """Starts a program on the laptop, with `env` beside its environment. Its process id is the program's own."""
        enter = ["nsenter", f"--target={self.keeper}", "--net", "--mount", "env", f"--chdir={cwd or Path.cwd()}"]
        end_with_us = ["setpriv", "--pdeathsig", "KILL"]
        return subprocess.Popen([*end_with_us, *enter, *map(str, words)], env=self.environment() | (env or {}), **how)

    def run(
        self, words: list, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 600, **how
    ) -> subprocess.CompletedProcess:
        """Runs a program on the laptop, and returns its exit code and texts. Raises TimeoutExpired."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
        with self.popen(words, env, cwd, **how) as process:
            try:
                said, errors = process.communicate(timeout=timeout)
            finally:
                process.kill()
        return subprocess.CompletedProcess(words, process.returncode, said, errors)

    @contextmanager
    def on_laptop(self) -> Iterator[None]:
        """Inside this context the calling thread is on the laptop, and so is what it starts: threads and programs."""
        here, environment = Path.cwd(), dict(os.environ)
        before = [os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY) for name in NAMESPACES]
        laptop = [os.open(f"/proc/{self.keeper}/ns/{name}", os.O_RDONLY) for name in NAMESPACES]
        try:
            _enter(laptop, here)
            os.environ.clear()
            os.environ.update(self.environment())
            yield
        finally:
            os.environ.clear()
            os.environ.update(environment)
            _enter(before, here)
            for file in (*before, *laptop):
                os.close(file)

    def _route(self, change: str, host: Host) -> None:
        assert not self.run(["ip", "route", change, "blackhole", host.address]).returncode

    def _write_files(self) -> None:
        ssh = self.home / ".ssh"
        ssh.mkdir(parents=True, mode=0o700)
        (self.folder / "disks").mkdir()
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ssh / "id_ed25519")]
        subprocess.run(key, check=True)
        real = pwd.getpwuid(os.getuid())
        lines = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
        homes = [[*line[:5], str(self.home), *line[6:]] if line[0] == real.pw_name else line for line in lines]
        (self.folder / "passwd").write_text("".join(":".join(line) + "\n" for line in homes))  # ssh ignores $HOME
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{LAPTOP} laptop\n")
        (self.folder / "resolv.conf").write_text("")
        (self.folder / "shared").write_text("")
        (self.folder / "shown").write_text("".join(f"{path}\n" for path in elsewhere()))

    def _on_laptop(self) -> list[int]:
        """The processes on the laptop, but for the keeper and this one."""
        network, found = os.readlink(f"/proc/{self.keeper}/ns/net"), []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.readlink(folder / "ns" / "net") == network:
                    found.append(int(folder.name))
        return sorted(set(found) - {self.keeper, os.getpid()})

    def _end(self) -> None:
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        for host in self.hosts.values():
            if host.process:
                host.process.wait()


def _command(process: int) -> bytes:
    with suppress(OSError):  # it has ended
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


_libc = ctypes.CDLL(None, use_errno=True)


def _enter(namespaces: list[int], folder: Path) -> None:
    _checked(_libc.unshare(CLONE_FS))  # a thread that shares its working folder cannot enter other mounts
    for namespace in namespaces:
        _checked(_libc.setns(namespace, 0))
    os.chdir(folder)  # entering mounts leads to the root


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
