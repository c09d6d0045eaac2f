"""Commands, files and tunnels on other hosts, by the user's own OpenSSH client and rsync.

`Remote` is one host. The user's ~/.ssh/config applies. Nothing here ever asks a question, and no secret is in a command
line. A host's key is noted at the first connection, in the cluster's own file; another key is refused from then on.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.clusters.local import free_port
from orchestrator.clusters.state import known_hosts
from orchestrator.errors import UserError

ANSWER_S = 120.0  # for a command, unless its caller says otherwise
CONNECT_S = 15
SILENCE_S = 15  # after three times this without a sign of life a connection is lost
TUNNEL_S = 60.0  # for a tunnel to be open
TRANSFER_SILENCE_S = 120  # without a byte from rsync
SSH_FAILED, NOT_FOUND, NOT_EXECUTABLE = 255, 127, 126
VANISHED = 24  # rsync's exit code where files went away meanwhile, as they do in a folder at work
NO_RSYNC = ("rsync: command not found", "rsync: not found", "command not found: rsync")  # as shells say it
READY = "vaeorch: the tunnel is open"
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": CONNECT_S,
    "ServerAliveInterval": SILENCE_S,
    "ServerAliveCountMax": 3,
    "StrictHostKeyChecking": "accept-new",
    "ControlMaster": "no",  # a shared connection would go round the check of the host's key
    "ControlPath": "none",
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "RequestTTY": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "INFO",
}
CHANGED_KEY = "HOST IDENTIFICATION HAS CHANGED"
FAILURES = {  # words of ssh, in lower case -> what to tell, with what ssh has said
    "host key verification failed": "its host key cannot be checked ({said}). Look at your ~/.ssh/config.",
    "permission denied (": "refuses the login ({said}). Check `user` and `key`, and that the key is in its"
    " ~/.ssh/authorized_keys; a key with a passphrase must be in ssh-agent.",
    "too many authentication failures": "refuses the login ({said}). Name the one private key to use as `key`.",
    "could not resolve hostname": "has no address ({said}). Check its name, or give it one in ~/.ssh/config.",
    "bad configuration option": "ssh does not understand your ~/.ssh/config ({said}). Correct it.",
    "bad owner or permissions": "ssh does not accept your ~/.ssh/config ({said}). Correct its mode.",
    "connect": "cannot be reached ({said}). Is it on, does it run sshd, and does `ssh` reach it from here?",
    "timeout, server": "was lost ({said}). Try again when it is reachable.",
    "kex_exchange": "cannot be reached ({said}). Does it run sshd, and does `ssh` reach it from here?",
}


class HostError(UserError):
    """A host that could not do what it was asked, in one line: the host, what failed, the cure."""

    def __init__(self, host: str, reason: str):
        super().__init__(f"{host}: {reason}")
        self.host = host


class NoSuchFolder(HostError):
    """A folder of a host that was to be copied, and is not there."""


Answer = subprocess.CompletedProcess  # with bytes in stdout and stderr


@dataclass(frozen=True)
class Remote:
    """A host that is reached by SSH. What is None is as ~/.ssh/config has it."""

    host: str
    user: str | None
    port: int | None
    key: str | None
    """The file of the private key."""
    state: Path
    """The folder of the cluster on this machine, with the keys of its hosts."""

    def options(self) -> list[str]:
        """The options of ssh for this host."""
        file = str(known_hosts(self.state)).replace("%", "%%")
        options = OPTIONS | {"UserKnownHostsFile": f'"{file}"'}
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        if self.user:
            words += ["-l", self.user]
        if self.port:
            words += ["-p", str(self.port)]
        if self.key:
            words += ["-i", str(Path(self.key).expanduser()), "-o", "IdentitiesOnly=yes"]
        return words

    def run(self, command: str, input: bytes = b"", timeout: float = ANSWER_S) -> Answer:
        """Runs a command of sh there. Its own exit code is the caller's to judge. Raises HostError."""
        (answer,) = run_all([Call(self, command, input)], timeout)
        if isinstance(answer, HostError):
            raise answer
        return answer

    def push(self, local: Path, remote: str, exclude: Sequence[str] = ()) -> None:
        """Copies a file to the file `remote`, or what is in a folder into the folder `remote`. Raises HostError.

        A file there is replaced once its copy is whole; what else is there stays. `exclude` are patterns of rsync.
        """
        folder = remote if local.is_dir() else remote.rpartition("/")[0]
        if folder.strip("/~"):
            made = self.run(f"mkdir -p {quoted(folder)}")
            if made.returncode:
                raise HostError(self.host, f"{folder} cannot be made there: {last_line(made.stderr)}")
        slash = "/" if local.is_dir() else ""
        self._transfer([f"{local}{slash}", self._place(f"{remote}{slash}")], exclude)

    def pull(self, remote: str, local: Path, exclude: Sequence[str] = ()) -> None:
        """Copies what is in the folder `remote` into the folder `local`. Raises HostError.

        A file here is replaced once its copy is whole, unless it was changed here since its last copy; what else is
        here stays. `exclude` are patterns of rsync.
        """
        local.mkdir(parents=True, exist_ok=True)
        self._transfer([self._place(f"{remote.rstrip('/')}/"), f"{local}/"], exclude, ["--update"])

    def put_secret(self, content: bytes, path: str) -> None:
        """Writes a file there that only its owner may read, from its first byte on. Raises HostError."""
        answer = self.run(secret_command(content, path), content)
        if answer.returncode:
            raise HostError(self.host, f"{path} cannot be written there: {last_line(answer.stderr)}")

    def tunnel(self, remote_port: int) -> "Tunnel":
        """A context in which a port of this machine leads to `remote_port` of that host's loopback interface."""
        return Tunnel(self, remote_port)

    def words(self, command: str, *options: str) -> list[str]:
        """The command line of ssh that runs a command of sh there, whatever the user's shell is."""
        return ["ssh", *self.options(), *options, "--", self.host, f"exec sh -c {shlex.quote(command)}"]

    def _place(self, path: str) -> str:
        """A path there as rsync takes it: relative ones begin at the home folder."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{path.removeprefix('~/') or '.'}"

    def _transfer(self, places: list[str], exclude: Sequence[str], options: Sequence[str] = ()) -> None:
        needed("rsync")
        words = [
            "rsync",
            "-rlpt",
            *options,
            f"--timeout={TRANSFER_SILENCE_S}",
            "-e",
            shlex.join(["ssh", *self.options()]),
        ]
        if any(set(place) & set(" '\"\\$*?[](){};&|<>`!") for place in places):
            words.append("--protect-args")  # old versions let the host's shell read the path; some lack the option
        words += [f"--exclude={pattern}" for pattern in exclude]
        with _started([*words, "--", *places], subprocess.DEVNULL) as process:
            try:
                _, errors = process.communicate()
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)  # then the one of rsync's processes that writes removes its file
                process.communicate()  # until all have ended
                raise
        if process.returncode not in (0, VANISHED):
            absent = b"change_dir" in errors and b"No such file or directory" in errors
            raise (NoSuchFolder if absent else HostError)(self.host, transfer_failure(process.returncode, errors))


@dataclass(frozen=True)
class Call:
    """A command of sh for a host, with its standard input."""

    remote: Remote
    command: str
    input: bytes = b""


def run_all(calls: Sequence[Call], timeout: float = ANSWER_S) -> list[Answer | HostError]:
    """Runs commands on hosts at the same time: the answer of each, or why there is none.

    If this is interrupted, as by Ctrl-C, the connections are ended at once.
    """
    needed("ssh")
    processes: list[subprocess.Popen] = []
    with ThreadPoolExecutor(max_workers=max(1, len(calls))) as pool:
        try:
            for call in calls:
                processes.append(_started(call.remote.words(call.command), subprocess.PIPE))
            answers = [pool.submit(_answer, *each, timeout) for each in zip(calls, processes, strict=True)]
            return [answer.result() for answer in answers]
        finally:
            for process in processes:
                process.kill()


def _started(words: list[str], input: int, errors: int | IO = subprocess.PIPE) -> subprocess.Popen:
    """The process is out of the terminal's reach: its Ctrl-C is for this one, which ends the other."""
    return subprocess.Popen(words, stdin=input, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)


def _answer(call: Call, process: subprocess.Popen, timeout: float) -> Answer | HostError:
    host = call.remote.host
    with process:
        try:
            said, errors = process.communicate(call.input, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return HostError(host, f"has not answered within {timeout:g} s. Is it overloaded? Try again.")
    if process.returncode == SSH_FAILED:
        return HostError(host, failure(errors))
    if process.returncode in (NOT_FOUND, NOT_EXECUTABLE):
        return HostError(host, f"a program is missing there ({last_line(errors)}). Install it, or correct its path.")
    return Answer(process.args, process.returncode, said, errors)


class Tunnel:
    """A port of this machine that leads to a port of a host's loopback interface.

    It ends with its context, and with this process, however that ends: ssh waits for the end of its standard input.
    """

    def __init__(self, remote: Remote, remote_port: int):
        self.remote, self.remote_port = remote, remote_port
        self.port = 0

    def __enter__(self) -> "Tunnel":
        needed("ssh")
        self.port = free_port()
        there = f"127.0.0.1:{self.port}:127.0.0.1:{self.remote_port}"
        command = f"echo; echo {shlex.quote(READY)}; exec cat > /dev/null"
        words = self.remote.words(command, "-o", "ExitOnForwardFailure=yes", "-L", there)
        self._errors = tempfile.TemporaryFile()  # a pipe that nobody reads would fill, and ssh wait
        self._process = _started(words, subprocess.PIPE, self._errors)
        too_late = threading.Timer(TUNNEL_S, self._process.kill)
        too_late.start()
        try:
            if not any(line.strip() == READY.encode() for line in iter(self._process.stdout.readline, b"")):
                self._process.wait()
                self._errors.seek(0)
                raise HostError(self.remote.host, failure(self._errors.read()))
        except BaseException:
            self._end()
            raise
        finally:
            too_late.cancel()
        return self

    def __exit__(self, *error) -> None:
        self._end()

    def alive(self) -> bool:
        """Whether the tunnel is open. A network that was cut is noticed after three times SILENCE_S."""
        return self._process.poll() is None

    def _end(self) -> None:
        self._process.kill()
        with self._process, self._errors:
            pass


def secret_command(content: bytes, path: str) -> str:
    """The command of sh that writes its standard input, `content`, to a file with mode 0600: all of it or nothing."""
    folder, file = path.rpartition("/")[0], quoted(path)
    make = f"mkdir -p {quoted(folder)} && " if folder.strip("/~") else ""
    whole = f'test "$(wc -c < {file}.$$)" -eq {len(content)}'
    write = f"(set -C; cat > {file}.$$) && {whole} && mv -f {file}.$$ {file}"
    return f"umask 077; {make}rm -f {file}.$$ && {write} || {{ rm -f {file}.$$; exit 1; }}"


def quoted(path: str) -> str:
    """A path for a command of sh; a leading `~/` is the home folder of the host's user."""
    return f"~/{shlex.quote(path[2:])}" if path.startswith("~/") else shlex.quote(path)


def failure(errors: bytes) -> str:
    """What to tell of a connection that failed, from what ssh has said."""
    text = errors.decode(errors="replace")
    if CHANGED_KEY in text:
        remove = next((line.strip() for line in text.splitlines() if "ssh-keygen -f" in line), "")
        cure = f"Only if you know why (such as a new system), forget the old one: {remove}"
        return f"has another host key than before, as if another machine answered for it. {cure}"
    said = last_line(errors)
    lower = text.lower()
    for words, reason in FAILURES.items():
        if words in lower:
            return reason.format(said=said)
    return f"ssh has failed ({said or 'it says nothing'}). Try `ssh` with this host."


def transfer_failure(code: int, errors: bytes) -> str:
    """What to tell of a transfer that failed, from rsync's exit code and what it and ssh have said."""
    text = errors.decode(errors="replace")
    if any(words in text for words in NO_RSYNC):
        return "rsync is not installed there. Install it, as by `sudo apt install rsync`."
    first = next((line for line in text.splitlines() if line.startswith(("rsync:", "rsync error"))), "")
    if code == SSH_FAILED or not first or "connection unexpectedly closed" in first:
        return failure(b"\n".join(line for line in errors.splitlines() if not line.startswith(b"rsync")) or errors)
    return f"a copy has failed: {first}"


def last_line(errors: bytes) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith("Warning: Permanently")), "")


def needed(program: str) -> None:
    """Raises UserError where a program is not installed on this machine."""
    if not shutil.which(program):
        raise UserError(f"{program} is not installed on this machine. Install it (OpenSSH's client, and rsync).")
