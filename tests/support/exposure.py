"""What others on this machine, or beyond it, can see of a sweep that runs: its files, and the ports it listens to."""

import ipaddress
import os
import stat
import struct
import uuid
from contextlib import suppress
from pathlib import Path

from orchestrator.clusters.scratch import PREFIX

CANARY = f"canary-{uuid.uuid4()}"
SECRETS = dict.fromkeys(
    ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "MLFLOW_TRACKING_PASSWORD"), CANARY
)
LISTENS = "0A"  # in /proc/net/tcp


def assert_private(mark: str, scratch: Path, least: int) -> None:
    """Of a sweep with SECRETS and the mark in its environment, and `scratch` for its TMPDIR, others see nothing.

    At `least` so many of its ports are found.
    """
    places = listeners(mark)
    assert len(places) >= least
    assert [place for place in places if not ipaddress.ip_address(place[1]).is_loopback] == []
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in scratch.glob(f"{PREFIX}*")] == [0o700]
    assert holding(CANARY, scratch) == []


def listeners(mark: str) -> list[tuple[str, str, int]]:
    """Where the processes listen that bear the mark in their environment: command, address, port."""
    ports, found = listening_sockets(), []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if mark.encode() in (process / "environ").read_bytes():
                command = (process / "cmdline").read_text().split("\0")[0]
                held = {os.readlink(file) for file in (process / "fd").iterdir()}
                found += [(command, *ports[name]) for name in held & ports.keys()]
    return found


def listening_sockets() -> dict[str, tuple[str, int]]:
    """The address and port of each, by what a process's link to it says."""
    found = {}
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = row.split()[:10]
            if state == LISTENS:
                place, port = local.split(":")
                found[f"socket:[{inode}]"] = (str(address(place)), int(port, 16))
    return found


def address(written: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """As /proc/net/tcp and tcp6 write it: words of 32 bits, each with its bytes turned round."""
    words = [written[start : start + 8] for start in range(0, len(written), 8)]
    found = ipaddress.ip_address(b"".join(struct.pack("<I", int(word, 16)) for word in words))
    return getattr(found, "ipv4_mapped", None) or found


def holding(text: str, folder: Path) -> list[Path]:
    """The files below a folder in which the text stands."""
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if stat.S_ISREG(path.lstat().st_mode) and text.encode() in path.read_bytes():
                found.append(path)
    return found
