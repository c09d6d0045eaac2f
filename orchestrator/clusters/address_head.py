"""Reaches a Ray that runs already from one of its nodes, for a record of kind `address`.

The driver is placed on this node, so what it writes is here, and nothing is fetched.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.clusters.head import Head
from orchestrator.clusters.jobs import Jobs
from orchestrator.clusters.local import ENVIRONMENT
from orchestrator.clusters.settings import settings_of
from orchestrator.errors import UserError

AUTO = "auto"
GCS_S = 10.0  # for a connection
ASK_S = 30.0  # for an answer, on a busy machine; where the token is wrong there is none
ASK = """
import sys
from ray._private import ray_constants
from ray._raylet import GcsClient
key, namespace = ray_constants.DASHBOARD_ADDRESS.encode(), ray_constants.KV_NAMESPACE_DASHBOARD
found = GcsClient(address=sys.argv[1]).internal_kv_get(key, namespace, timeout=10)
print(found.decode() if found else "")
"""  # a program


@contextmanager
def opened(record, out: Path) -> Iterator[Head]:
    """Yields the node of this machine. `out` is the folder of all sweeps here. Raises UserError."""
    jobs = jobs_of(record)
    address = jobs.server.address
    jobs.check()
    yield Head(
        jobs=jobs,
        out=record.shared or str(out.resolve()),
        python=sys.executable,
        reopen=lambda: address,
        settings=ENVIRONMENT | settings_of(os.environ),
        resources={f"node:{node_here(jobs)}": 0.001},
    )


def jobs_of(record) -> Jobs:
    """The jobs of that Ray. Raises UserError."""
    return Jobs(dashboard_of(record.address), token_file())


def dashboard_of(address: str) -> str:
    """The address of the dashboard of the Ray whose GCS has this address. Raises UserError."""
    from ray._private import services

    found = services.find_bootstrap_address(None) if address == AUTO else address
    if found is None:
        cure = "Start one, as by `ray start --head`, or write its HOST:PORT as `address`."
        raise UserError(f"address: {AUTO}: no Ray runs on this machine. {cure}")
    host, _, port = found.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), GCS_S).close()
    except OSError as error:
        raise UserError(f"address: {found}: no Ray answers there ({error.strerror or error}). Is it up?") from None
    said = asked(found)
    if said is None:
        cure = "Its token must be in ~/.ray/auth_token, or in the file that RAY_AUTH_TOKEN_PATH names."
        raise UserError(f"address: {found}: that Ray does not let us in. {cure}")
    if not said:
        raise UserError(f"address: {found}: its dashboard does not run: start Ray with `--include-dashboard=true`.")
    return f"http://{said}"


def asked(gcs: str) -> str | None:
    """What the GCS says of its dashboard's address; None if it refuses to answer.

    Ray's client of the GCS prints to standard error, and tries for long: so it runs in a process of its own.
    """
    token = token_file()
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)} if token else {}
    words = [sys.executable, "-c", ASK, gcs]
    try:
        answer = subprocess.run(words, env=os.environ | own, capture_output=True, text=True, timeout=ASK_S)
    except subprocess.TimeoutExpired:
        return None
    return None if answer.returncode else answer.stdout.strip()


def token_file() -> Path | None:
    """The file with the token of a Ray that the user has started; None where there is none."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    usual = Path.home() / ".ray" / "auth_token"
    return Path(named) if named else usual if usual.exists() else None


def node_here(jobs: Jobs) -> str:
    """The address of the node of that Ray on this machine. Raises UserError."""
    import psutil  # a dependency of Ray

    own = {one.address for known in psutil.net_if_addrs().values() for one in known}
    nodes = jobs.node_addresses()
    here = next((address for address in nodes if address in own), None)
    if here is None:
        cure = "Type the command on one of them."
        raise UserError(f"address: no node of that Ray is on this machine: its nodes are {', '.join(nodes)}. {cure}")
    return here
