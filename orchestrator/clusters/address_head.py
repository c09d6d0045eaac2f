"""Reaches a Ray that runs already from one of its nodes, for a record of kind `address`.

The driver is placed on this node, so what it writes is here, and nothing is fetched.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.clusters.head import Head
from orchestrator.clusters.jobs import Jobs
from orchestrator.clusters.local import ENVIRONMENT
from orchestrator.clusters.settings import settings_of
from orchestrator.errors import UserError

GCS_S = 10.0  # for Ray to answer; with a wrong token it answers nothing for longer
AUTO = "auto"


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
    from ray._private import ray_constants, services
    from ray._raylet import GcsClient

    found = services.find_bootstrap_address(None) if address == AUTO else address
    if found is None:
        cure = "Start one, as by `ray start --head`, or write its HOST:PORT as `address`."
        raise UserError(f"address: {AUTO}: no Ray runs on this machine. {cure}")
    key, namespace = ray_constants.DASHBOARD_ADDRESS.encode(), ray_constants.KV_NAMESPACE_DASHBOARD
    try:
        said = GcsClient(address=found).internal_kv_get(key, namespace, timeout=GCS_S)
    except Exception as error:  # of many kinds
        reason = str(error).strip().partition("\n")[0]
        cure = "Is it up, and is its token in ~/.ray/auth_token, or named by RAY_AUTH_TOKEN_PATH?"
        raise UserError(f"address: {found}: Ray does not answer: {reason}. {cure}") from None
    if not said:
        raise UserError(f"address: {found}: its dashboard does not run: start Ray with `--include-dashboard=true`.")
    return f"http://{said.decode()}"


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
