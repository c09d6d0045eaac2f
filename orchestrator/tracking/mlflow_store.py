"""The MLflow store of a sweep: what each of its events becomes there (KINDS). `client.py` opens it.

Only the driver sends to MLflow, on one thread: a store has one writer per sweep, and workers need neither its address
nor a password. MLflow takes 3 s to import, so it is imported where it is used.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from orchestrator.tracking import saved_view
from orchestrator.tracking.client import connect, failures
from orchestrator.tracking.run_events import STATUS, well_formed
from orchestrator.tracking.run_files import tags_of
from orchestrator.tracking.saved_view import UID_TAG
from orchestrator.tracking.sending import Changed, Refused, Unreachable
from orchestrator.tracking.spool import FILES, PARENT, START
from orchestrator.tracking.store_address import (
    artifacts,
    first_line,
    is_server,
    is_sqlite,
    sqlite_file,
    without_password,
)
from orchestrator.tracking.sweep_runs import bring_under_name, runs_of

RECEIPT_TAG = "vaeorch.received"  # how much of the spool a run has received
NO_FAULT_OF_A_FILE = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Identity:
    """What a sweep is called in MLflow, `uid`, which no other sweep has, and what it was called before, if renamed."""

    experiment: str
    sweep: str
    uid: str
    former: tuple[str, ...] = ()


class MlflowStore:
    """Receives the events of one sweep. `folder` is the sweep's own: pictures' paths are relative to it.

    Sending an event twice has the same effect as sending it once.
    """

    def __init__(self, uri: str, identity: Identity, folder: Path):
        self.uri, self.identity, self.folder = uri, identity, folder
        self.experiment_id: str | None = None
        self._client: Any = None
        self._file: tuple[int, int] | None = None  # of an SQLite store: which file was opened
        self._run_ids: dict[str, str] = {}
        self._images: dict[str, set[str]] = {}  # run id -> the names of its image files

    @property
    def local(self) -> bool:
        return self._client is None or is_sqlite(self.uri)

    def receipts(self) -> dict[str, str | None]:
        """How far each run of the sweep was sent, as recorded in the run itself. Raises Unreachable."""
        try:
            if self._client is None or self._moved():
                self._client = connect(self.uri, self.folder.resolve().parent)
                self._file = self._on_disk()
            if self.identity.former:
                bring_under_name(self._client, self.identity.uid, self.identity.experiment, self.identity.former)
            return self._ask()
        except failures() as error:
            raise self._lost(error) from error

    def send(self, uid: str, events: Sequence[Mapping[str, Any]], before: str | None, after: str | None) -> None:
        """Deliver events of one kind to the run `uid`; make the run if it is not there.

        Raises Unreachable, Changed, Refused.
        """
        if not all(map(well_formed, events)):
            raise Refused("not an event that this version of vaeorch knows", for_good=True)
        self._check_file()
        try:
            run_id = self._ready(uid, events[0]["time"], before)
        except failures() as error:
            raise self._judged(error, False) from error
        try:
            KINDS[events[0]["kind"]](self, run_id, events)
        except failures() as error:
            raise self._judged(error, True) from error
        try:
            self._client.set_tag(run_id, receipt_tag(uid), after or str(START))
        except failures() as error:
            raise self._judged(error, False) from error
        self._check_file()

    def _judged(self, error: Exception, by_event: bool) -> Exception:
        """Decide whether an error is the event's fault or the store's, by a request that any sound store answers.

        An overloaded server, a full disk and a proxy have many error codes; the fault of an event has one.
        """
        reason, code = first_line(error, self.uri), getattr(error, "error_code", None)
        if code == "RESOURCE_DOES_NOT_EXIST":
            return Changed(reason)
        if code == "INVALID_PARAMETER_VALUE" and by_event:
            return Refused(reason, for_good=True)
        try:
            self._client.search_experiments(max_results=1)
        except failures():
            return self._lost(error)
        return Refused(reason, for_good=False)

    def _lost(self, error: Exception) -> Unreachable:
        self._client = None
        return Unreachable(first_line(error, self.uri))

    def _on_disk(self) -> tuple[int, int] | None:
        """Which file an SQLite store is now (device, inode); None if there is none, and for a server."""
        try:
            now = sqlite_file(self.uri).stat() if is_sqlite(self.uri) else None
        except FileNotFoundError:
            return None
        return now and (now.st_dev, now.st_ino)

    def _moved(self) -> bool:
        return self._on_disk() != self._file

    def _check_file(self) -> None:
        """Raises Changed if the SQLite file was deleted or replaced: what was written into the old one is lost."""
        if self._moved():
            raise Changed(f"{sqlite_file(self.uri)} was deleted or replaced")

    def _ask(self) -> dict[str, str | None]:
        """Look up the runs of this sweep that the store has, and return their receipts."""
        self._run_ids, self._images, receipts = {}, {}, {}
        for uid, run in self._known_runs():
            self._run_ids[uid] = run.info.run_id
            receipts |= {one: run.data.tags.get(receipt_tag(one)) for one in (uid, uid + FILES)}
            files = tags_of(self.folder, uid)  # the folder may have been moved
            if run.info.lifecycle_stage == "active" and not files.items() <= run.data.tags.items():
                self._log(run.info.run_id, tags=files)
        return receipts

    def _known_runs(self) -> Iterator[tuple[str, Any]]:
        """The uid and the run of each run of this sweep, also of deleted ones."""
        experiment, start = self._client.get_experiment_by_name(self.identity.experiment), f"{self.identity.uid}-"
        deleted = experiment is not None and experiment.lifecycle_stage == "deleted"
        self.experiment_id = None if experiment is None or deleted else experiment.experiment_id
        if experiment is not None:
            for run in runs_of(self._client, experiment.experiment_id, self.identity.uid):
                yield run.data.tags[UID_TAG].removeprefix(start), run

    def _experiment(self) -> str:
        if self.experiment_id is None:
            found = self._client.get_experiment_by_name(self.identity.experiment)
            if found is None:
                self.experiment_id = self._client.create_experiment(self.identity.experiment, self._artifacts())
            else:
                if found.lifecycle_stage == "deleted":
                    self._client.restore_experiment(found.experiment_id)  # its name cannot be used again
                self.experiment_id = found.experiment_id
        return self.experiment_id

    def _artifacts(self) -> str | None:
        """The location of artifacts: None for a server, which decides it; for a database a folder in OUT.

        MLflow itself would give a database a folder relative to the working directory.
        """
        return None if is_server(self.uri) else artifacts(self.folder.resolve().parent, self.identity.experiment)

    def _ready(self, uid: str, time_ms: int, before: str | None) -> str:
        """The id of the run `uid`, made or restored if need be. Raises Changed if its receipt is not `before`."""
        run = self._client.get_run(self._run_id(uid.removesuffix(FILES), time_ms))
        if run.data.tags.get(receipt_tag(uid), str(START)) != (before or str(START)):
            raise Changed(f"{without_password(self.uri)} is not what it was: it was put back, or another process sends")
        if run.info.lifecycle_stage == "deleted":
            self.experiment_id = None
            self._experiment()  # restores its runs, too, if it is deleted
            if self._client.get_run(run.info.run_id).info.lifecycle_stage == "deleted":
                self._client.restore_run(run.info.run_id)
        return run.info.run_id

    def _run_id(self, uid: str, time_ms: int) -> str:
        experiment = self._experiment()
        if uid not in self._run_ids:
            self._run_ids[uid] = self._create(experiment, uid, time_ms)
        return self._run_ids[uid]

    def _uid(self, run_id: str) -> str:
        return next(uid for uid, known in self._run_ids.items() if known == run_id)

    def _create(self, experiment: str, uid: str, time_ms: int) -> str:
        tags = {UID_TAG: f"{self.identity.uid}-{uid}", "sweep": self.identity.sweep, "mlflow.source.type": "LOCAL"}
        tags |= {receipt_tag(uid): str(START), receipt_tag(uid + FILES): str(START), "kind": "sweep"}
        name = self.identity.sweep
        if uid != PARENT:
            tags |= {"kind": "trial", "trial_id": uid, "mlflow.parentRunId": self._run_id(PARENT, time_ms)}
            name = uid
        return self._client.create_run(experiment, time_ms, tags, name).info.run_id

    def _log(
        self,
        run_id: str,
        metrics: Sequence[tuple[str, float, int, int]] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log any number of metrics (name, value, time in ms, step), params and tags: the client splits them."""
        from mlflow.entities import Metric, Param, RunTag

        self._client.log_batch(
            run_id,
            [Metric(*metric) for metric in metrics],
            [Param(*item) for item in (params or {}).items()],
            [RunTag(*item) for item in (tags or {}).items()],
            synchronous=True,  # whatever the environment says: an event may be acknowledged only when the store has it
        )

    def _started(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        name = self.identity.sweep if run_id == self._run_ids.get(PARENT) else event["name"]  # the sweep may be renamed
        self._client.update_run(run_id, status="RUNNING", name=name)  # it may have ended, and is resumed
        self._log(run_id, params=event["params"], tags=event["tags"] | tags_of(self.folder, self._uid(run_id)))

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
        if saved_view.known(self._page_version()) and event["view"].keys() == {
            one.name for one in fields(saved_view.SavedView)
        }:
            view, identity = saved_view.SavedView(**event["view"]), self.identity
            tag, value = saved_view.view_tag(view, identity.sweep, identity.uid, event["time"])
            self._client.set_experiment_tag(self._experiment(), tag, value)

    def _page_version(self) -> str:
        """The version of the MLflow whose web page shows the store."""
        import mlflow
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        if is_server(self.uri):
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
        except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            if getattr(error, "errno", None) in NO_FAULT_OF_A_FILE:
                raise
            raise Refused(str(error), for_good=True) from error  # gone, or no picture
        latest = saved_view.LATEST_PREFIX + event["key"].removeprefix(saved_view.PICTURE_PREFIX)
        for key, step in ((event["key"], event["epoch"]), (latest, 0)):
            name = f"images/{key.replace('/', '~')}+step+{step}+timestamp+{event['time']}+"
            if not any(image_file.startswith(name) for image_file in self._images_of(run_id)):
                self._client.log_image(run_id, image, key=key, step=step, timestamp=event["time"], synchronous=True)

    def _images_of(self, run_id: str) -> set[str]:
        """The image files of a run, as they were when first asked for."""
        if run_id not in self._images:
            self._images[run_id] = {file.path for file in self._client.list_artifacts(run_id, "images")}
        return self._images[run_id]

    def _evaluated(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        metrics = [(name, value, event["time"], event["epoch"]) for name, value in event["metrics"].items()]
        self._log(run_id, metrics, tags=event["tags"])

    def _ended(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        [event] = events
        metrics = [(name, value, event["time"], event.get("step", 0)) for name, value in event["metrics"].items()]
        files = tags_of(self.folder, self._uid(run_id))
        self._log(run_id, metrics, tags={"status": event["status"], **event["tags"], **files})
        self._client.set_terminated(run_id, STATUS[event["status"]], event["time"])


def receipt_tag(uid: str) -> str:
    """The tag of a run that records how far the events of `uid` were sent: its own, or those with files."""
    return RECEIPT_TAG + (FILES if uid.endswith(FILES) else "")


# How an event of each kind is logged. Events of the kind "epoch" come many at a time, all others one by one.
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
