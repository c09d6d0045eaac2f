"""What this machine knows of a cluster: a folder that only its user may read, with the cluster's secret token in it."""

import fcntl
import getpass
import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.storage.json_files import write_whole

TOKEN, KNOWN_HOSTS, HOSTS, LOCK, FILE = "token", "known_hosts", "hosts.json", "lock", "file"
LONGEST_OWNER = 255  # characters, as in a tag at AWS
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def state_folder(name: str) -> Path:
    """The folder of the cluster of this name, made with mode 0700 if it is not there. Raises UserError."""
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot name a cluster: use letters, digits, `.`, `_` and `-`, 64 at most.")
    folder = _states() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}. Make it, or set XDG_STATE_HOME.") from None
    return folder


def _states() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vaeorch"


def note_file(folder: Path, file: Path) -> None:
    """Note the cluster file that a cluster was started with, for those who look for clusters.

    Raises UserError if another file of the same name, which is still there, has started the cluster of this name.
    """
    noted = folder / FILE
    other = Path(noted.read_text(encoding="utf-8").strip()) if noted.exists() else file
    if other.exists() and file.exists() and not other.samefile(file):
        cure = "Rename one of the files."
        raise UserError(
            f"{file}: the cluster {folder.name} is that of {other.resolve()}, which has the same name. {cure}"
        )
    write_whole(noted, f"{file.resolve()}\n")


def known_clusters() -> list[tuple[Path, Path]]:
    """The folder and the file of every cluster that was started from this machine."""
    found = sorted(_states().glob(f"*/{FILE}"))
    return [(file.parent, Path(file.read_text(encoding="utf-8").strip())) for file in found]


def token(folder: Path) -> str:
    """The cluster's token: 64 hexadecimal digits, the same at every call. Raises UserError for a damaged file."""
    file = folder / TOKEN
    if not file.exists():
        _make_token(file)
    found = file.read_text().strip()
    if not re.fullmatch("[0-9a-f]{64}", found):
        raise UserError(f"{file}: is damaged. End the cluster's Ray on its hosts, then remove this file.")
    return found


def _make_token(file: Path) -> None:
    """Makes the file whole or not at all. One that another process has made meanwhile stays."""
    draft = file.with_name(f"{TOKEN}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(secrets.token_hex(32))
        new.flush()
        os.fsync(new.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def known_hosts(folder: Path) -> Path:
    """The file in which OpenSSH keeps the keys of the cluster's hosts, made with mode 0600 if it is not there."""
    file = folder / KNOWN_HOSTS
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    return file


def noted_hosts(folder: Path) -> tuple[str, ...]:
    """The hosts on which this machine may have started the cluster's Ray, the head first."""
    file = folder / HOSTS
    return tuple(json.loads(file.read_text())) if file.exists() else ()


def note_hosts(folder: Path, hosts: tuple[str, ...]) -> None:
    """To be called before anything is started there: so nothing is forgotten, whatever happens then."""
    write_whole(folder / HOSTS, json.dumps(hosts))


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Only one process at a time starts or ends the cluster. Raises UserError if another one does."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder.name}: another command starts or ends this cluster. Wait for its end.") from None
        yield


def owner() -> str:
    """Who this is, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:LONGEST_OWNER]
