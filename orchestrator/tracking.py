"""What a sweep tells MLflow: one run for the sweep, below it one for each trial.

A Tracker is told what happens, in plain values, and returns at once: it appends events to the spool of the sweep's
folder, and a thread sends them. Killed and made again on the same folder, it goes on in the same runs, and an epoch
that is trained again is not logged again.
"""

import getpass
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.files import write_whole
from orchestrator.mlflow_store import STATUS, Identity, MlflowStore, check_store, set_environment, without_password
from orchestrator.saved_view import PICTURE_PREFIX, View, link
from orchestrator.spool import PARENT, Sender, Spool, TrackingError

PACKAGES = ("vaeorch", "torch", "ray", "mlflow")  # whose versions are kept as tags
EVALUATED = "eval/"  # before the names of numbers that were found after the fact
ABORTED = "aborted"  # how a sweep ends that is broken off, and with it its trials
PATIENCE_S = 10.0  # how long the end of a sweep waits for a store that takes nothing


@dataclass
class History:
    """What has been recorded of one run: enough to record nothing twice."""

    running: bool = False
    status: str | None = None  # with which it ended
    epoch: int = 0
    pictures: set[tuple[str, int, str]] = field(default_factory=set)
    findings: dict[str, tuple[str, float]] = field(default_factory=dict)  # by their names, the last of each

    def note(self, event: Mapping[str, Any]) -> None:
        if event["kind"] == "started":
            self.running, self.status = True, None
        elif event["kind"] == "ended":
            self.running, self.status = False, event["status"]
        elif event["kind"] == "epoch":
            self.epoch = max(self.epoch, event["epoch"])
        elif event["kind"] == "picture":
            self.pictures.add((event["key"], event["epoch"], event["path"]))
        elif event["kind"] == "evaluated":
            self.findings.update({name: (event["key"], value) for name, value in event["metrics"].items()})


class Tracker:
    """Records one sweep in the folder OUT/NAME and sends it to the MLflow store at `uri` meanwhile.

    Statuses of trials and sweeps are the keys of `mlflow_store.STATUS`. Epochs count from 1, times are taken here.
    Raises TrackingError for a bad address, and if another process records the same sweep; methods raise OSError if the
    disk of the folder is full. Whether the store answers is no matter until `close`.
    """

    def __init__(self, uri: str, experiment: str, sweep_name: str, folder: Path):
        check_store(uri)
        set_environment()
        self._spool = Spool(folder / "spool", uri)
        identity = _identity(folder, Identity(experiment, sweep_name, uuid.uuid4().hex[:12]), uri)
        self._store = MlflowStore(uri, identity, folder)
        self._folder = folder
        self._runs = {uid: _history(self._spool, uid) for uid in self._spool.uids()}
        self._sender = Sender(self._spool, self._store)
        self._sender.start()

    def sweep_started(
        self,
        description: str,
        config_file: Path,
        tags: Mapping[str, str],
        dataset: Mapping[str, Any],
        view: View,
    ) -> None:
        """Tell of the sweep itself; to be told again when it is resumed.

        `description` is Markdown, `config_file` the resolved spec, `tags` what `provenance` gives and more, `dataset`
        {"name", "source", and plain facts such as shape and rows}; of the data themselves nothing is sent.
        """
        tags = {"mlflow.note.content": description, "status": "running", **tags}
        self._record(PARENT, "started", name=self._store.identity.sweep, params={}, tags=tags)
        self._record(PARENT, "config", text=config_file.read_text(encoding="utf-8"))
        self._record(PARENT, "dataset", **_dataset(dataset))
        self._record(PARENT, "view", view=asdict(view))

    def trial_started(self, trial_id: str, params: Mapping[str, Any], name: str) -> None:
        """Tell of a trial that starts, or starts again after its end; of no effect for one that is running.

        `params` are those that vary in the sweep: MLflow shows all of them in many places.
        """
        if not self._run(trial_id).running:
            texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
            self._record(trial_id, "started", name=name, params=texts, tags={"status": "running"})

    def epoch(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Tell of the metrics after an epoch; of no effect for one that has been told before."""
        if epoch > self._run(trial_id).epoch:
            self._record(trial_id, "epoch", epoch=epoch, metrics={key: float(value) for key, value in metrics.items()})

    def pictures(self, trial_id: str, epoch: int, paths: Iterable[Path]) -> None:
        """Tell of PNG files drawn after an epoch. They must stay as they are: so each epoch needs its own folder.

        A picture is called by its file's name; those of one name make a slider over the epochs.
        """
        for path in paths:
            key, kept = PICTURE_PREFIX + path.stem, os.path.relpath(path, self._folder)  # the sweep's folder can move
            if (key, epoch, kept) not in self._run(trial_id).pictures:
                self._record(trial_id, "picture", key=key, epoch=epoch, path=kept)

    def evaluated(self, trial_id: str, key: str, epoch: int, values: Mapping[str, float], provenance: str) -> None:
        """Tell of numbers about a trained trial, and what they rest on: a tag of the same name for each.

        `key` stands for all that decides them; of no effect where the last of these names are the same numbers.
        """
        metrics = {f"{EVALUATED}{name}": value for name, value in values.items()}
        told = self._run(trial_id).findings
        if any(told.get(name) != (key, value) for name, value in metrics.items()):
            tags = dict.fromkeys(metrics, provenance)
            self._record(trial_id, "evaluated", key=key, epoch=epoch, metrics=metrics, tags=tags)

    def trial_ended(
        self, trial_id: str, status: str, reason: str | None = None, best: Mapping[str, float] | None = None
    ) -> None:
        """Tell how a trial ended, why (`asha@9`, `diverged@120:kl`) and its best metrics. The first telling holds."""
        if not self._run(trial_id).status:
            self._end(trial_id, status, {"stop_reason": reason or ""}, best or {})

    def ended(self, trial_id: str) -> bool:
        """Has the trial come to its own end? One that ended with its sweep has not."""
        return self._run(trial_id).status not in (None, ABORTED)

    def sweep_ended(
        self, status: str, best_metrics: Mapping[str, float] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Tell how the sweep ended; trials that have not ended end with it."""
        for uid, run in self._runs.items():
            if uid != PARENT and run.running:
                self.trial_ended(uid, status, f"sweep {status}")
        self._end(PARENT, status, tags or {}, best_metrics or {})

    def close(self, patience_s: float = PATIENCE_S, longest_s: float = math.inf) -> int:
        """Send what is left, as long as it gets through; return the number of events that stay unsent.

        They are safe in the folder: `sync` sends them later.
        """
        self._sender.close(patience_s, longest_s)
        self._spool.close()
        return self._spool.unsent()

    def rejected(self) -> int:
        """The number of events that the store refused for good; they stand in OUT/NAME/spool/rejected.log."""
        return self._spool.rejected()

    def link(self, base: str) -> str | None:
        """The address of this sweep's leaderboard in the MLflow page at `base`; None if the store has not answered."""
        if self._store.experiment_id is None:
            return None
        return link(base, self._store.experiment_id, self._store.view_key)

    def _end(self, uid: str, status: str, tags: Mapping[str, str], best: Mapping[str, float]) -> None:
        if status not in STATUS:
            raise ValueError(f"status {status!r} is none of {', '.join(STATUS)}")
        metrics = {f"best/{key}": float(value) for key, value in best.items()}
        self._record(uid, "ended", status=status, tags=dict(tags), metrics=metrics)

    def _run(self, uid: str) -> History:
        return self._runs.setdefault(uid, History())

    def _record(self, uid: str, kind: str, **facts: Any) -> None:
        event = {"kind": kind, "time": time.time_ns() // 1_000_000, **facts}
        self._spool.append(uid, event)
        self._run(uid).note(event)


def sync(folder: Path, uri: str | None = None) -> int:
    """Send what the sweep in `folder` (OUT/NAME) has not sent to the store at `uri`; return what stays unsent.

    Without `uri` it goes where the sweep last sent it. A store that never had the sweep gets all of it.
    Raises TrackingError for a bad address, a folder without a sweep, and a sweep that is still running.
    """
    uri = uri or recorded_store(folder)
    if uri is None or not _identity_file(folder).exists():
        raise TrackingError(f"{folder}: no sweep was recorded here")
    check_store(uri)
    set_environment()
    spool = Spool(folder / "spool", uri)
    Sender(spool, MlflowStore(uri, _identity(folder, None, uri), folder)).flush()
    spool.close()
    return spool.unsent()


def is_recorded(folder: Path) -> bool:
    """Whether a sweep in `folder` has ever been told of."""
    return _identity_file(folder).exists()


def recorded_store(folder: Path) -> str | None:
    """The address to which the sweep in `folder` was sent last; None if it was never recorded. Raises TrackingError."""
    file = _identity_file(folder)
    if not file.exists():
        return None
    uri = json.loads(file.read_text())["uri"]
    if ":***@" in uri:
        raise TrackingError(f"{uri}: the password is not kept; give the whole address with --tracking-uri")
    return uri


def provenance(source: str) -> dict[str, str]:
    """Tags that say what made the numbers: who, from which file (`source`), which code, which versions."""
    tags = {"mlflow.user": _user(), "mlflow.source.name": source, "version.python": platform.python_version()}
    tags |= {f"version.{name}": importlib.metadata.version(name) for name in PACKAGES}
    if commit := _git("rev-parse", "HEAD"):
        tags |= {"mlflow.source.git.commit": commit, "git.modified": "yes" if _git("status", "--porcelain") else "no"}
    return tags


def _identity_file(folder: Path) -> Path:
    return folder / "spool" / "identity.json"


def _identity(folder: Path, new: Identity | None, uri: str) -> Identity:
    """The sweep's identity as it was first recorded, else `new`; the address of its store is kept beside it."""
    file = _identity_file(folder)
    kept = json.loads(file.read_text()) if file.exists() else asdict(new)
    write_whole(file, json.dumps({**kept, "uri": without_password(uri)}))
    return Identity(kept["experiment"], kept["sweep"], kept["uid"])


def _history(spool: Spool, uid: str) -> History:
    history = History()
    for line in spool.lines(uid):
        if line.event is not None:
            history.note(line.event)
    return history


def _dataset(facts: Mapping[str, Any]) -> dict[str, str]:
    """MLflow's words for a data set; its digest tells apart sets of one name and other facts (fewer rows, say)."""
    profile = json.dumps({key: value for key, value in facts.items() if key not in ("name", "source")})
    digest = hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:8]
    source = json.dumps({"source": facts["source"]})
    return {"name": facts["name"], "digest": digest, "source": source, "profile": profile}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _git(*words: str) -> str:
    """What git says of the folder that this code stands in; nothing if there is no git, or no repository."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
