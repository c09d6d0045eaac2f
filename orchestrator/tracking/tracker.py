"""Logs a sweep to MLflow: one run for the sweep, and a child run for each trial.

Methods of Tracker take what happened, as plain values, and return at once: they append events to the spool of the
sweep's folder, and a thread (`sending.py`) sends them. After a kill, a new Tracker on the same folder continues the
same runs, and does not log an epoch twice that is trained twice.
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
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from operator import gt, lt
from pathlib import Path
from typing import Any

from orchestrator.tracking.client import set_environment
from orchestrator.tracking.identity import is_recorded, new_uid, opened, recorded_store
from orchestrator.tracking.mlflow_store import Identity, MlflowStore
from orchestrator.tracking.run_events import STATUS, well_formed
from orchestrator.tracking.saved_view import BEST, PICTURE_PREFIX, SavedView
from orchestrator.tracking.sending import PATIENCE_S, Sender
from orchestrator.tracking.spool import FILES, PARENT, Spool, TrackingError
from orchestrator.tracking.store_address import check_store
from trainables.common.installed import version

PACKAGES = ("torch", "ray", "mlflow")  # whose versions are kept as tags
EVALUATED = "eval/"  # prefix of metrics that were measured after training
ABORTED = "aborted"  # the status of a sweep that is interrupted, and of its running trials
OF_FILES = ("config", "picture")  # kinds of event that need the artifact store
HASTE_S = 3.0  # the longest that an interrupted sweep waits for MLflow to take the rest
LAST = ("diverged", "failed")  # trials that rank below all others


@dataclass
class History:
    """What has been recorded of one run: enough to record nothing twice."""

    running: bool = False
    params: set[str] = field(default_factory=set)  # names
    status: str | None = None  # if it has ended
    epoch: int = 0
    pictures: set[tuple[str, int, str]] = field(default_factory=set)
    findings: dict[str, tuple[str, float]] = field(default_factory=dict)  # name -> (key, value), the last of each
    best: float | None = None  # the best objective so far
    bests: dict[str, tuple[float, int]] = field(default_factory=dict)  # name -> (value, step), the last of each

    def note(self, event: Mapping[str, Any]) -> None:
        if event["kind"] == "started":
            self.running, self.status = True, None
            self.params |= event["params"].keys()
        elif event["kind"] == "ended":
            self.running, self.status = False, event["status"]
            self._note_bests(event["metrics"], event.get("step", 0))
        elif event["kind"] == "epoch":
            self.epoch = max(self.epoch, event["epoch"])
            self.best = next((value for name, value in event["metrics"].items() if name.startswith(BEST)), self.best)
            self._note_bests(event["metrics"], event["epoch"])
        elif event["kind"] == "picture":
            self.pictures.add((event["key"], event["epoch"], event["path"]))
        elif event["kind"] == "evaluated":
            self.findings.update({name: (event["key"], value) for name, value in event["metrics"].items()})

    def _note_bests(self, metrics: Mapping[str, float], step: int) -> None:
        self.bests |= {name: (value, step) for name, value in metrics.items() if name.startswith(BEST)}

    def new_bests(self, metrics: Mapping[str, float]) -> tuple[dict[str, float], int]:
        """Those that differ from what was recorded last, as the run ends, and their step: none has two values at one.

        MLflow shows a metric's last step: that is after all epochs, and after an earlier end.
        """
        new = {name: value for name, value in metrics.items() if str(self.bests.get(name, [None])[0]) != str(value)}
        return new, 1 + max([self.epoch, *(self.bests[name][1] for name in new if name in self.bests)])


class Tracker:
    """Records one sweep in the folder OUT/NAME, and sends it to the MLflow store at `uri`, if any, meanwhile.

    Statuses of trials and sweeps are the keys of `run_events.STATUS`. Epochs count from 1; events get their time here.
    Raises TrackingError for a bad address, and if another process records the same sweep; methods raise OSError if the
    disk of the folder is full. Only `close` waits for the store to answer.
    """

    def __init__(self, uri: str | None, experiment: str, sweep_name: str, folder: Path):
        if uri:
            check_store(uri)
            set_environment()
        new = Identity(experiment, sweep_name, new_uid())
        self._spool, self._identity = opened(folder, uri, new)
        self._folder, self._view = folder, None
        self._runs: dict[str, History] = {}
        for uid in self._spool.uids():
            _recall(self._spool, uid, self._run(uid.removesuffix(FILES)))
        self._sender = Sender(self._spool, MlflowStore(uri, self._identity, folder)) if uri else None
        if self._sender:
            self._sender.start()

    def sweep_started(
        self,
        description: str,
        config: str,
        tags: Mapping[str, str],
        dataset: Mapping[str, Any],
        view: SavedView,
    ) -> None:
        """Log the start of the sweep; call it again when the sweep is resumed.

        `description` is Markdown, `config` the resolved spec, `tags` what `provenance` gives and more, `dataset`
        {"name", "source", and plain facts such as shape and rows}; the data themselves are not sent.
        """
        self._view = view
        tags = {"mlflow.note.content": description, "status": "running", **tags}
        self._record(PARENT, "started", name=self._identity.sweep, params={}, tags=tags)
        self._record(PARENT, "config", text=config)
        self._record(PARENT, "dataset", **_dataset(dataset))
        self._record(PARENT, "view", view=asdict(view))

    def trial_started(self, trial_id: str, params: Mapping[str, Any], name: str) -> None:
        """Log a trial that starts, or starts again after its end; of no effect for one that is running.

        `params` are those that vary in the sweep: MLflow shows all of them in many places.
        """
        if not self._run(trial_id).running:
            texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
            self._record(trial_id, "started", name=name, params=texts, tags={"status": "running"})

    def epoch(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics after an epoch; of no effect for one that was logged before."""
        if epoch > self._run(trial_id).epoch:
            metrics = {key: float(value) for key, value in metrics.items()}
            self._record(trial_id, "epoch", epoch=epoch, metrics=metrics | self._best(trial_id, epoch, metrics))

    def _best(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """The objective, if it is the best so far: MLflow's page is sorted by it, as `vaeorch results` is.

        Nothing at a step at which earlier versions recorded it, as the trial ended: it is recorded at its next end.
        """
        if self._view is None or not math.isfinite(value := metrics.get(self._view.objective, math.nan)):
            return {}
        name, run = f"{BEST}{self._view.objective}", self._run(trial_id)
        better = {"max": gt, "min": lt}[self._view.mode]
        if name in run.bests and run.bests[name][1] >= epoch:
            return {}
        return {name: value} if run.best is None or better(value, run.best) else {}

    def pictures(self, trial_id: str, epoch: int, paths: Iterable[Path]) -> None:
        """Log PNG files drawn after an epoch. They must not change, so each epoch needs its own folder.

        A picture has its file's name; MLflow shows those of one name with a slider over the epochs.
        """
        for path in paths:
            key, kept = PICTURE_PREFIX + path.stem, os.path.relpath(path, self._folder)  # the sweep's folder can move
            if (key, epoch, kept) not in self._run(trial_id).pictures:
                self._record(trial_id, "picture", key=key, epoch=epoch, path=kept)

    def evaluated(self, trial_id: str, key: str, epoch: int, values: Mapping[str, float], provenance: str) -> None:
        """Log numbers that were measured of a trained trial, and for each a tag of the same name with its provenance.

        `key` stands for all that decides them; of no effect if the last numbers of these names are the same.
        """
        metrics = {f"{EVALUATED}{name}": value for name, value in values.items()}
        told = self._run(trial_id).findings
        if any(told.get(name) != (key, value) for name, value in metrics.items()):
            tags = dict.fromkeys(metrics, provenance)
            self._record(trial_id, "evaluated", key=key, epoch=epoch, metrics=metrics, tags=tags)

    def trial_ended(
        self, trial_id: str, status: str, reason: str | None = None, best: Mapping[str, float] | None = None
    ) -> None:
        """Log how a trial ended, why (`asha@9`, `diverged@120:kl`), and its best metrics. Only a first call counts."""
        if not self._run(trial_id).status:
            self._end(trial_id, status, {"stop_reason": reason or ""}, best or {})

    def ended(self, trial_id: str, params: Mapping[str, Any]) -> bool:
        """Whether the trial has ended by itself, not with an interrupted sweep, and is known to have these parameters.

        A sweep that is extended by seeds may give parameters to trials that have ended.
        """
        run = self._run(trial_id)
        return run.status not in (None, ABORTED) and run.params >= params.keys()

    def sweep_ended(
        self, status: str, best_metrics: Mapping[str, float] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Log how the sweep ended; trials that have not ended end with it."""
        for uid, run in self._runs.items():
            if uid != PARENT and run.running:
                self.trial_ended(uid, status, f"sweep {status}")
        self._end(PARENT, status, tags or {}, best_metrics or {})

    def close(self, patience_s: float = PATIENCE_S, longest_s: float = math.inf) -> "Left":
        """Send the rest, as long as the store takes it. The folder keeps unsent events: `sync` sends them later."""
        if self._sender:
            self._sender.close(patience_s, longest_s)
        self._spool.close()
        return _left(self._spool, self._sender) if self._sender else NOTHING_LEFT

    def _end(self, uid: str, status: str, tags: Mapping[str, str], best: Mapping[str, float]) -> None:
        if status not in STATUS:
            raise ValueError(f"status {status!r} is none of {', '.join(STATUS)}")
        metrics = {f"{BEST}{key}": float(value) for key, value in best.items()}
        if self._view and status in LAST:
            metrics[f"{BEST}{self._view.objective}"] = math.nan  # whatever it had reached
        metrics, step = self._run(uid).new_bests(metrics)
        self._record(uid, "ended", status=status, tags=dict(tags), metrics=metrics, step=step)

    def _run(self, uid: str) -> History:
        return self._runs.setdefault(uid, History())

    def _record(self, uid: str, kind: str, **facts: Any) -> None:
        event = {"kind": kind, "time": time.time_ns() // 1_000_000, **facts}
        self._spool.append(uid + FILES if kind in OF_FILES else uid, event)
        self._run(uid).note(event)


@dataclass(frozen=True)
class Left:
    """What a store does not have: events `unsent`, why (`trouble`), and those that it `rejected`, kept in `file`."""

    unsent: int
    trouble: str
    rejected: int
    reason: str  # of the first of these
    file: Path

    def __bool__(self) -> bool:
        return bool(self.unsent or self.rejected)

    def lines(self, again: str) -> list[str]:
        """For the user; `again` is the command that sends them."""
        lines = []
        if self.unsent:
            why = self.trouble or "MLflow does not answer"
            lines.append(f"unsent       {self.unsent} events: {why}. Send them: {again}")
        if self.rejected:
            kept = f"They are kept in {self.file}. Try again: {again}. To give them up, remove that file"
            lines.append(f"rejected     {self.rejected} events: {self.reason}. {kept}")
        return lines


NOTHING_LEFT = Left(0, "", 0, "", Path())


def sync(folder: Path, uri: str | None = None) -> Left:
    """Send what the store at `uri` lacks of the sweep in `folder` (OUT/NAME), also what it refused before.

    Without `uri` the store is the one to which the sweep was last sent. A store that never had it gets all of it.
    Raises TrackingError for a bad address, a folder without a sweep, and a sweep that is still running.
    """
    uri = uri or recorded_store(folder)
    if uri is None or not is_recorded(folder):
        raise TrackingError(f"{folder}: no sweep was recorded here")
    check_store(uri)
    set_environment()
    spool, identity = opened(folder, uri, None)
    sender = Sender(spool, MlflowStore(uri, identity, folder))
    sender.flush()
    spool.close()
    return _left(spool, sender)


def provenance(source: str) -> dict[str, str]:
    """Tags that record what made the numbers: the user, the spec's file (`source`), the commit, the versions."""
    tags = {"mlflow.user": _user(), "mlflow.source.name": source}
    tags |= {"version.vaeorch": version(), "version.python": platform.python_version()}
    tags |= {f"version.{name}": importlib.metadata.version(name) for name in PACKAGES}
    if commit := _git("rev-parse", "HEAD"):
        tags |= {"mlflow.source.git.commit": commit, "git.modified": "yes" if _git("status", "--porcelain") else "no"}
    return tags


def _left(spool: Spool, sender: Sender) -> Left:
    rejected = spool.rejected()
    reason = rejected[0]["reason"] if rejected else ""
    return Left(spool.unsent(), sender.trouble, len(rejected), reason, spool.rejected_file)


def _recall(spool: Spool, uid: str, history: History) -> None:
    """Note what was recorded before, except lines that are not well-formed events."""
    for line in spool.lines(uid):
        if line.event and well_formed(line.event):
            history.note(line.event)


def _dataset(facts: Mapping[str, Any]) -> dict[str, str]:
    """A data set in MLflow's fields; the digest distinguishes sets of one name with other facts (fewer rows, say)."""
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
    """The output of git in the folder of this code; empty if there is no git, or no repository."""
    command = ["git", "-C", str(Path(__file__).parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
