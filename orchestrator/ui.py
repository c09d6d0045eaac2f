"""MLflow's own web page on a tracking store, opened on a sweep."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.mlflow_store import connect, prepare_store, set_environment
from orchestrator.saved_view import link
from orchestrator.sweep import command

HOST = "127.0.0.1"


def serve(uri: str, port: int) -> int:
    """Run MLflow's server on this machine alone until it is stopped; its exit code.

    Raises UserError when the port is in use, TrackingError for a store that cannot be opened.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} cannot be had: {error.strerror}. Choose another with --port.") from None
    prepare_store(uri)
    set_environment()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        HOST,
        "--port",
        str(port),
    ]
    # One worker and no job queue: the default is fourteen processes.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return subprocess.call([*command, "--workers", "1"], env=environment)


def page(folder: Path, uri: str, base: str) -> str:
    """The address of the leaderboard of the sweep recorded in `folder` (OUT/NAME), below the server's address `base`.

    Raises UserError when no sweep was recorded there, or the store has not received it.
    """
    file = folder / "spool" / "identity.json"
    if not file.is_file():
        there = ", ".join(sorted(path.parents[1].name for path in folder.parent.glob("*/spool/identity.json")))
        raise UserError(f"{folder}: no sweep was recorded here. Sweeps beside it: {there or 'none'}.")
    identity = json.loads(file.read_text(encoding="utf-8"))
    experiment = connect(uri).get_experiment_by_name(identity["experiment"])
    if experiment is None:
        send = command("sync", folder.name, folder.resolve().parent)
        raise UserError(f"{uri}: has not received the sweep '{folder.name}'. Send it with: {send}")
    key = f"vaeorch-{identity['uid']}"
    return link(base, experiment.experiment_id, key if f"mlflow.sharedViewState.{key}" in experiment.tags else None)
