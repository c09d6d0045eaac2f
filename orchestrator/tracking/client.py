"""Opens MLflow stores: makes its tables where a database has none, and gives a client.

MLflow takes 3 s to import, so it is imported where it is used.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.tracking.spool import TrackingError
from orchestrator.tracking.store_address import (
    check_store,
    first_line,
    follow,
    is_sqlite,
    sqlite_address,
    sqlite_file,
    without_password,
)
from trainables.common.files import locked

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the default of 7 blocks for four minutes; the spool tries again itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def set_environment() -> None:
    """Make MLflow quiet and quick to give up, in this process and its children."""
    os.environ.update(ENVIRONMENT)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # failures are reported as `unsent` and `rejected`
    os.environ.pop("MLFLOW_RUN_ID", None)  # it would override mlflow.parentRunId


def prepare_store(uri: str) -> None:
    """Check the address, and make an SQLite store's tables if they are not there (6 s, of which 3 s import MLflow).

    Raises TrackingError, also for a store of another version of MLflow.
    """
    check_store(uri)
    set_environment()
    if not is_sqlite(uri):
        return
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connect(uri)
    except (MlflowException, SQLAlchemyError) as error:
        raise TrackingError(f"{without_password(uri)}: {first_line(error, uri)}") from None
    except OSError as error:
        raise TrackingError(f"{without_password(uri)}: {error.filename}: {error.strerror}.") from None


def check_known_store(uri: str) -> None:
    """As `prepare_store`, but an SQLite store that is not there yet is left to whoever sends to it first.

    That is a thread, which has to import MLflow in any case: so a sweep need not wait for it. Raises TrackingError.
    """
    check_store(uri)
    set_environment()
    if not is_sqlite(uri) or not _is_empty(sqlite_file(uri)):
        prepare_store(uri)


def connect(uri: str, out: Path | None = None) -> Any:
    """An MlflowClient; makes the tables of a new database, and finds its artifacts again, which may be in `out`."""
    from mlflow import MlflowClient

    if not is_sqlite(uri):
        return MlflowClient(uri, registry_uri=uri)
    # Processes that make the tables of one SQLite file at once break it: MLflow's migrations take no lock.
    with locked(sqlite_file(uri)):
        if _is_empty(sqlite_file(uri)):
            _make(sqlite_file(uri))
        client = MlflowClient(uri, registry_uri=uri)
        _open_anew(client, uri)
        follow(sqlite_file(uri), out)
    return client


def _is_empty(file: Path) -> bool:
    """Whether a database has nothing in it yet: looking whether it can be written makes an empty file."""
    return not file.exists() or file.stat().st_size == 0


def _make(file: Path) -> None:
    """Make a database with MLflow's tables, whole or not at all. The caller holds its lock.

    Its migrations take seconds. A process that ends meanwhile would leave a database that no later one opens.
    """
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    beside = file.with_name(f".{file.name}.new")
    for left in beside.parent.glob(f"{beside.name}*"):
        left.unlink()
    SqlAlchemyStore(sqlite_address(beside), DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
    beside.replace(file)


def _open_anew(client: Any, uri: str) -> None:
    """Open the file that is there now: MLflow keeps its connections, which may be to one that was deleted since."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = client._tracking_client.store
    store.engine.dispose()
    SqlAlchemyStore(uri, store.artifact_root_uri)  # makes the tables if they are not there


@cache
def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when a store, a network, a disk or a bucket fails."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, OSError, ValueError, SQLAlchemyError, Boto3Error, BotoCoreError, ClientError
