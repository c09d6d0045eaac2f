"""Serves MLflow's own web page on a tracking store, and gives its address for a sweep."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.storage import layout
from orchestrator.tracking import guard
from orchestrator.tracking.client import connect, prepare_store, set_environment
from orchestrator.tracking.identity import is_recorded, kept
from orchestrator.tracking.saved_view import link, view_key, view_tag_name
from orchestrator.tracking.store_address import ENVIRONMENT_VARIABLE, check_store, first_line, without_password

HOST = "127.0.0.1"


def serve(uri: str, port: int) -> int:
    """Run MLflow's server on this machine alone until it is stopped; its exit code.

    Raises UserError if the port is in use, TrackingError for a store that cannot be opened.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} cannot be had: {error.strerror}. Choose another with --port.") from None
    prepare_store(uri)
    set_environment()
    # One worker and no job queue: the default is fourteen processes. The address may hold a password, so it is not an
    # argument, which `ps` would show.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_BACKEND_STORE_URI": uri}
    environment.pop(ENVIRONMENT_VARIABLE, None)  # the server would take it for its own
    command = ["mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    return _guarded([sys.executable, "-m", *command], environment)


def _guarded(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a server that ends with this process, however it ends; its exit code."""
    guard_itself = [sys.executable, "-P", guard.__file__, *command]
    with subprocess.Popen(guard_itself, stdin=subprocess.PIPE, env=environment, start_new_session=True) as process:
        try:
            return process.wait()
        finally:
            process.stdin.close()
            process.wait()


def page(folder: Path, uri: str, base: str) -> str:
    """The address of the leaderboard of the sweep recorded in `folder` (OUT/NAME), below the server's address `base`.

    Raises UserError if no sweep was recorded there, or the store has not received it.
    """
    if not is_recorded(folder):
        there = layout.names_with(folder.parent, f"{layout.SPOOL}/{layout.IDENTITY}")
        raise UserError(f"{folder}: no sweep was recorded here. Sweeps beside it: {there}.")
    check_store(uri)
    set_environment()
    identity = kept(folder)
    experiment = _experiment(uri, identity["experiment"])
    if experiment is None:
        cure = f"Send it: {command_for('sync', folder)}"
        raise UserError(f"{without_password(uri)}: has not received {folder.name}. {cure}")
    uid = identity["uid"]
    return link(base, experiment.experiment_id, view_key(uid) if view_tag_name(uid) in experiment.tags else None)


def _experiment(uri: str, name: str) -> Any:
    """The experiment `name`, or None. Raises UserError for a store that does not answer."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return connect(uri).get_experiment_by_name(name)
    except (MlflowException, OSError, SQLAlchemyError) as error:
        raise UserError(f"{without_password(uri)}: {first_line(error, uri)}") from None
