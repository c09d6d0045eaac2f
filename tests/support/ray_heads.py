"""A Ray head of its own on this machine, which asks for a token, as `ray start` starts it on a cluster."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from orchestrator.clusters.local import HOST, ON_LOOPBACK, descendants, end
from tests.support.waiting import until

WORKER_PORTS = range(10002, 20000)


class Head(NamedTuple):
    """The port of its dashboard, and the file with its token."""

    port: int
    token_file: Path

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


@contextmanager
def ray_head(**environment: str) -> Iterator[Head]:
    """A head with two CPUs, on ports of its own. All of its processes have ended at the end."""
    import ray  # noqa: F401  # it brings psutil
    import psutil  # isort: skip

    with tempfile.TemporaryDirectory(prefix="vo-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        token_file = Path(folder) / "token"
        token_file.write_text(secrets.token_hex(32) + "\n")
        names = ["--port", "--dashboard-port", "--ray-client-server-port", "--dashboard-agent-listen-port"]
        names += ["--dashboard-agent-grpc-port", "--runtime-env-agent-port", "--metrics-export-port"]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        options = [word for name, port in ports.items() for word in (name, str(port))]
        options += ["--node-ip-address", HOST, "--dashboard-host", HOST, "--num-cpus", "2", "--temp-dir", f"{folder}/r"]
        options += ["--object-store-memory", str(100 * 2**20), "--disable-usage-stats", "--include-log-monitor", "0"]
        known = ON_LOOPBACK | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file), "PYTHONPATH": ""}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        with open(Path(folder) / "said", "w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options],
                env=clean | known | environment,
                cwd=folder,
                stdout=said,
                stderr=said,
            )
        head, family = Head(ports["--dashboard-port"], token_file), set()
        try:
            until(lambda: process.poll() is not None or answers(head))
            assert process.poll() is None, (Path(folder) / "said").read_text()
            yield head
        finally:
            family = descendants(psutil.Process(process.pid)) if process.poll() is None else set()
            process.send_signal(signal.SIGTERM)
            end(family)
            process.kill()
            process.wait()


def free_ports(number: int) -> list[int]:
    """So many free ports, which differ, and of which none is among those that Ray gives its workers."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < number:
            listener = stack.enter_context(socket.create_server((HOST, 0)))
            if listener.getsockname()[1] not in WORKER_PORTS:
                found.append(listener.getsockname()[1])
        return found


def answers(head: Head) -> bool:
    """Whether its dashboard takes jobs, that is, its agent is there too."""
    request = urllib.request.Request(f"{head.address}/api/jobs/")
    request.add_header("Authorization", f"Bearer {head.token_file.read_text().strip()}")
    with suppress(OSError), urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
        return True
    return False
