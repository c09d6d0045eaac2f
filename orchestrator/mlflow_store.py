"""The MLflow store: its address, its preparation, and what each event of a sweep becomes in it.

Only the driver speaks to MLflow, on one thread: a store has one writer per sweep, and workers need neither its address
nor a password. MLflow takes 3 s to import, so it is imported where it is used.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator import saved_view
from orchestrator.files import ARTIFACTS
from orchestrator.spool import PARENT, Refused, TrackingError, Unreachable
from trainables.durable import locked

UID_TAG = "vae.uid"  # <sweep uid>-<trial id>: who a run is, whatever process sends it

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the default of 7 blocks for four minutes; the spool tries again itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
BUSY_S = 20.0  # how long to wait for another writer of an SQLite file, as MLflow does

# Answers that will be the same however often they are asked for (MLflow's error codes). An overloaded server says
# BAD_REQUEST, so that one is not among them.
FOR_GOOD = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")

# How a run ends, in our words and in MLflow's. An early stop is no failure: MLflow paints KILLED like one.
STATUS = {
    "completed": "FINISHED",
    "stopped": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
    "aborted": "KILLED",
}


@dataclass(frozen=True)
class Identity:
    """What a sweep is called in MLflow, and `uid`, which no other sweep has."""

    experiment: str
    sweep: str
    uid: str


def set_environment() -> None:
    """Make MLflow quiet and quick to give up, in this process and its children."""
    os.environ.update(ENVIRONMENT)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # what goes wrong is told by `unsent` and `rejected`
    os.environ.pop("MLFLOW_RUN_ID", None)  # it would beat mlflow.parentRunId


def without_password(uri: str) -> str:
    """The address as it may be shown and kept."""
    password = urlsplit(uri).password
    return uri.replace(f":{password}@", ":***@", 1) if password else uri


def check_store(uri: str) -> None:
    """Find what is wrong with an address without asking anything over the network. Quick: MLflow is not imported.

    Raises TrackingError for an unknown scheme, a missing database driver, an SQLite file that cannot be written.
    """
    check = CHECKS.get(urlsplit(uri).scheme.partition("+")[0])
    if check is None:
        raise TrackingError(
            f"tracking address '{without_password(uri)}': begin it with http://, https://, sqlite:/// or postgresql://"
            " (MLflow no longer takes a folder)"
        )
    check(uri)


def prepare_store(uri: str) -> None:
    """Check the address, and make an SQLite store's tables if they are not there (6 s, of which 3 s import MLflow).

    Raises TrackingError, also for a store that another version of MLflow has made.
    """
    check_store(uri)
    set_environment()
    if urlsplit(uri).scheme != "sqlite":
        return
    from mlflow.exceptions import MlflowException

    try:
        connect(uri)
    except MlflowException as error:
        raise TrackingError(f"{uri}: {_first_line(error)}") from error


def connect(uri: str) -> Any:
    """An MlflowClient; makes the tables of a new database."""
    from mlflow import MlflowClient

    # Processes that make the tables of one SQLite file together break it: MLflow's migrations are not guarded.
    with locked(_sqlite_file(uri)) if urlsplit(uri).scheme == "sqlite" else nullcontext():
        return MlflowClient(uri, registry_uri=uri)


def _sqlite_file(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def _check_sqlite(uri: str) -> None:
    if not uri.startswith("sqlite:///") or _sqlite_file(uri).name in ("", ":memory:"):
        raise TrackingError(f"tracking address '{uri}' names no file: write sqlite:////absolute/path/mlflow.db")
    try:
        _sqlite_file(uri).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(_sqlite_file(uri), timeout=BUSY_S)) as database:
            database.execute("BEGIN IMMEDIATE")  # fails where a write would
    except (OSError, sqlite3.Error) as error:
        raise TrackingError(f"tracking store {_sqlite_file(uri)} cannot be written: {error}") from None


def _check_http(uri: str) -> None:
    try:
        named = bool(urlsplit(uri).hostname) and urlsplit(uri).port != 0
    except ValueError:  # a port that is no number
        named = False
    if not named:
        raise TrackingError(f"tracking address '{without_password(uri)}' names no server: write http://host:port")


def _check_database(uri: str) -> None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        make_url(uri).get_dialect().import_dbapi()
    except (ImportError, SQLAlchemyError) as error:
        raise TrackingError(f"tracking address '{without_password(uri)}': {_first_line(error)}; install it") from None


CHECKS = {
    "http": _check_http,
    "https": _check_http,
    "sqlite": _check_sqlite,
    "postgresql": _check_database,
    "mysql": _check_database,
    "mssql": _check_database,
}


class MlflowStore:
    """Receives the events of one sweep. `folder` is the sweep's own: pictures' paths are relative to it.

    Sending an event twice leaves what sending it once does (a picture, though, is then there twice).
    """

    def __init__(self, uri: str, identity: Identity, folder: Path):
        self.uri, self.identity, self.folder = uri, identity, folder
        self.is_server = urlsplit(uri).scheme in ("http", "https")
        self.experiment_id: str | None = None
        self.view_key: str | None = None
        self._run_ids: dict[str, str] = {}

    def send(self, uid: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Deliver events of one kind to the run `uid`; make the run if it is not there. Raises Unreachable, Refused."""
        try:
            run_id = self._run_id(uid, events[0]["time"])
            KINDS[events[0]["kind"]](self, run_id, events)
        except self._failures as error:
            raise self._judged(error) from error

    @cached_property
    def _client(self) -> Any:
        return connect(self.uri)

    @cached_property
    def _failures(self) -> tuple[type[Exception], ...]:
        """What MLflow lets through when a store, a network, a disk or a bucket fails."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        return MlflowException, OSError, ValueError, SQLAlchemyError, Boto3Error, BotoCoreError, ClientError

    def _judged(self, error: Exception) -> Exception:
        """Is it the event's fault or the store's? The store is asked for something that it must know."""
        reason = _first_line(error)
        if getattr(error, "error_code", None) in FOR_GOOD:
            return Refused(reason, for_good=True)
        try:
            self._client.search_experiments(max_results=1)
        except self._failures:
            return Unreachable(reason)
        return Refused(reason, for_good=False)

    def _experiment(self) -> str:
        if self.experiment_id is None:
            found = self._client.get_experiment_by_name(self.identity.experiment)
            if found is None:
                self.experiment_id = self._client.create_experiment(self.identity.experiment, self._artifacts())
            else:
                if found.lifecycle_stage == "deleted":
                    self._client.restore_experiment(found.experiment_id)  # its name cannot be given again
                self.experiment_id = found.experiment_id
        return self.experiment_id

    def _artifacts(self) -> str | None:
        """A server knows where artifacts go; a bare database would take a folder relative to the working directory."""
        if self.is_server:
            return None
        return str(self.folder.resolve().parent / ARTIFACTS / self.identity.experiment)

    def _run_id(self, uid: str, time_ms: int) -> str:
        if uid not in self._run_ids:
            full = f"{self.identity.uid}-{uid}"
            found = self._client.search_runs([self._experiment()], f"tags.`{UID_TAG}` = '{full}'", max_results=1)
            self._run_ids[uid] = found[0].info.run_id if found else self._create(uid, full, time_ms)
        return self._run_ids[uid]

    def _create(self, uid: str, full: str, time_ms: int) -> str:
        tags = {UID_TAG: full, "sweep": self.identity.sweep, "kind": "sweep", "mlflow.source.type": "LOCAL"}
        name = self.identity.sweep
        if uid != PARENT:
            tags |= {"kind": "trial", "trial_id": uid, "mlflow.parentRunId": self._run_id(PARENT, time_ms)}
            name = uid
        return self._client.create_run(self._experiment(), time_ms, tags, name).info.run_id

    def _log(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int, int]] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log any number of metrics (name, value, time in ms, step), params and tags: the client cuts them to size."""
        from mlflow.entities import Metric, Param, RunTag

        self._client.log_batch(
            run_id,
            [Metric(*metric) for metric in metrics],
            [Param(*item) for item in (params or {}).items()],
            [RunTag(*item) for item in (tags or {}).items()],
            synchronous=True,  # whatever the environment says: an event is acknowledged when the store has it
        )

    def _started(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        self._client.update_run(run_id, status="RUNNING", name=event["name"])  # it may have ended, and goes on
        self._log(run_id, params=event["params"], tags=event["tags"])

    def _config(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        self._client.log_text(run_id, event["text"], "config/resolved.yaml")

    def _dataset(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        [event] = events
        dataset = Dataset(event["name"], event["digest"], "code", event["source"], profile=event["profile"])
        context = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [DatasetInput(dataset, [context])])

    def _view(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        if saved_view.known(self._page_version()):
            view, key = saved_view.View(**event["view"]), f"vaeorch-{self.identity.uid}"
            tag, value = saved_view.view_tag(view, key, self.identity.sweep, event["time"])
            self._client.set_experiment_tag(self._experiment(), tag, value)
            self.view_key = key

    def _page_version(self) -> str:
        """The version of the MLflow whose web page shows this store."""
        import mlflow
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        if self.is_server:
            return http_request(get_default_host_creds(self.uri), "/version", "GET").text
        return mlflow.__version__

    def _epochs(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        steps = ((event, name, value) for event in events for name, value in event["metrics"].items())
        self._log(run_id, [(name, value, event["time"], event["epoch"]) for event, name, value in steps])

    def _picture(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        from PIL import Image

        [event] = events
        try:
            with Image.open(self.folder / event["path"]) as image:
                image.load()
        except OSError as error:  # gone, or no picture
            raise Refused(str(error), for_good=True) from error
        latest = saved_view.LATEST_PREFIX + event["key"].removeprefix(saved_view.PICTURE_PREFIX)
        for key, step in ((event["key"], event["epoch"]), (latest, 0)):
            self._client.log_image(run_id, image, key=key, step=step, timestamp=event["time"], synchronous=True)

    def _evaluated(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        metrics = [(name, value, event["time"], event["epoch"]) for name, value in event["metrics"].items()]
        self._log(run_id, metrics, tags=event["tags"])

    def _ended(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        metrics = [(name, value, event["time"], 0) for name, value in event["metrics"].items()]
        self._log(run_id, metrics, tags={"status": event["status"], **event["tags"]})
        self._client.set_terminated(run_id, STATUS[event["status"]], event["time"])


# What an event of each kind becomes. Events of the kind "epoch" come many at a time, all others one by one.
KINDS = {
    "started": MlflowStore._started,
    "config": MlflowStore._config,
    "dataset": MlflowStore._dataset,
    "view": MlflowStore._view,
    "epoch": MlflowStore._epochs,
    "picture": MlflowStore._picture,
    "evaluated": MlflowStore._evaluated,
    "ended": MlflowStore._ended,
}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
