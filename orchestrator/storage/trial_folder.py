"""A trial's folder on disk, and the training that resumes from it (`results`). It uses no Ray.

config.json             the trial's id, its place in the search space, the whole run, where its data are
metrics.jsonl           one line per epoch
checkpoint.pt           the state after the last epoch
checkpoint.previous.pt  the state an epoch earlier, in case the other is damaged
best.pt                 the model after the epoch with the best objective
fitted.pt               once trained to its end: what these models need of the training rows, to be used without them
pictures/0009/          the pictures of the model after epoch 9
error.txt               the traceback of a failure
diverged.json           after which epoch it diverged, and how
workers.jsonl           of a trial with many workers: who took it up, after which epoch, and where they ran
within_epoch.json       how far a long epoch is, while it runs
restarts.txt            of a trial with many workers: one line each time they were lost and started again
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from orchestrator.storage import blobs, layout, within_epoch
from orchestrator.storage.bucket import Damaged
from orchestrator.storage.json_files import append_whole, write_whole
from orchestrator.storage.last_epoch import is_over, last_epoch_of
from orchestrator.storage.metric_lines import COUNTS, from_json, metrics_of, to_json
from orchestrator.storage.within_epoch import Pace, ReportShare
from trainables import checkpoint
from trainables.common.errors import CheckpointError, Diverged
from trainables.common.files import remove_half_written
from trainables.common.roots import root_of
from trainables.inference import fitted
from trainables.run import Run
from trainables.train import Report, is_of, reopen, train

WITHOUT = "The trial goes on from what was before."
IDENTITY = ("id", "config", "seed", "objective", "run", "data_root")  # keys of a slot's config in config.json


class TrialFolder:
    """The folder of one trial. `metric` and `mode` ("max" or "min") say which epoch is the best."""

    def __init__(self, path: Path, metric: str, mode: str):
        self.path, self.metric = path, metric
        self.needed = {*COUNTS, metric}  # what every line of metrics.jsonl has
        self.sign = {"max": 1.0, "min": -1.0}[mode]
        self.checkpoint, self.previous = path / layout.CHECKPOINT, path / layout.PREVIOUS_CHECKPOINT
        self.notice: str | None = None  # what the user should know of how the trial was resumed
        self.report: Report | None = None  # of the epoch just finished
        self.reopen: Callable[[], Report] | None = None  # makes it from the checkpoint to resume from
        self.lines: list[dict] = []  # of metrics.jsonl, one per epoch
        self.best = -math.inf  # sign * objective

    def open(self) -> Path | None:
        """The checkpoint to resume from, if there is one; metrics.jsonl is cut back to its epoch.

        A damaged checkpoint is renamed, and the one before it is used; if there is none, the trial starts again.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.path / layout.PICTURES):
            remove_half_written(folder)
        within_epoch.forget(self.path)
        kept, epoch = self._newest()
        file = self.path / layout.METRICS
        if kept or file.exists():
            self.lines = self._known(file, epoch)
            kept = kept if len(self.lines) == epoch else None
            write_whole(file, "".join(f"{to_json(line)}\n" for line in self.lines))
        self.best = max(map(self._score, self.lines), default=-math.inf)
        return kept

    def _known(self, file: Path, epochs: int) -> list[dict]:
        """The lines of these epochs. Empty if one is lost: the trial starts again, which gives the same numbers."""
        try:
            lines = [from_json(text) for text in file.read_text(encoding="utf-8").splitlines()[:epochs]]
            sound = [line["epoch"] for line in lines] == list(range(1, epochs + 1))
            if sound and all(isinstance(line[name], float | int) for line in lines for name in self.needed):
                return lines
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass
        self.notice = f"{file}: is damaged: the trial is trained anew, with the same numbers."
        return []

    def _newest(self) -> tuple[Path | None, int]:
        """The last checkpoint that can be read, and its epoch; None and 0 if there is none."""
        damaged = []
        for kept in self._checkpoints():
            try:
                epoch = checkpoint.epoch_of(kept)
            except CheckpointError as error:
                damaged.append(str(error))
                kept.replace(kept.with_suffix(layout.DAMAGED))
                continue
            if damaged:
                self.notice = f"{damaged[0]} The trial goes on from {kept.name}."
            return kept, epoch
        if damaged:
            self.notice = f"{' '.join(damaged)} The trial is trained anew, with the same numbers."
        return None, 0

    def _checkpoints(self) -> Iterator[Path]:
        """The checkpoints that there are, the newest first."""
        for kept in (self.checkpoint, self.previous):
            try:
                if blobs.here(kept).exists():
                    yield kept
            except Damaged as error:
                self.notice = f"{error} {WITHOUT}"

    def keep(self, report: Report, draw: bool) -> None:
        """Write the epoch just finished, with pictures if `draw`; the checkpoint last: with it the epoch is done."""
        self.report = report
        within_epoch.forget(self.path)
        line = {"epoch": report.epoch, "images": report.images, "seconds": report.seconds} | report.metrics
        self.lines.append(line)
        append_whole(self.path / layout.METRICS, to_json(line))
        if draw:
            self.draw()
        if self._score(line) > self.best:
            self.best = self._score(line)
            report.save_model(self.path / layout.BEST)
            layout.reference_to(self.path / layout.BEST).unlink(missing_ok=True)  # of weights before these
        if self.checkpoint.exists():
            self.checkpoint.replace(self.previous)
            layout.reference_to(self.previous).unlink(missing_ok=True)
        report.save(self.checkpoint)

    def fit(self) -> None:
        """Write what the models of the best and of the last epoch need of the training rows, unless it is there."""
        file = self.path / layout.FITTED
        if fitted.read(file, "last", len(self.lines)) is None:
            fitted.keep(file, (self.report or self.reopen()).training, self.path / layout.BEST)

    def draw(self) -> None:
        """Draw the pictures of the epoch just finished, all or none, unless they are there."""
        folder = layout.pictures_folder(self.path, len(self.lines))
        if not self.lines or folder.exists():
            return
        beside = folder.with_name(f".{folder.name}.{os.getpid()}")
        try:
            (self.report or self.reopen()).draw(beside, [metrics_of(line) for line in self.lines])
            beside.replace(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def append(self, name: str, line: str) -> None:
        """Append a line to a file of the folder. Raises OSError."""
        append_whole(self.path / name, line)

    def note_divergence(self, how: str) -> None:
        """Write that the epoch that was to come has diverged."""
        write_whole(self.path / layout.DIVERGED, json.dumps([len(self.lines), how]) + "\n")

    def divergence(self) -> str | None:
        """How the epoch after the last one that was kept has diverged, where that is known."""
        try:
            epochs, how = json.loads((self.path / layout.DIVERGED).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            return None
        return how if epochs == len(self.lines) else None

    def settle(self) -> None:
        """Bring what was kept to where a later process looks for it: it is there, unless a subclass works elsewhere."""

    def leave(self) -> None:
        """This process, where all is settled, trains the trial no further."""

    def note(self, share: float, seconds: float) -> None:
        """Write how far the running epoch is."""
        within_epoch.note(self.path, len(self.lines) + 1, share, seconds)

    def _score(self, line: dict) -> float:
        """The objective with its sign set so that more is better; -inf if it is not finite."""
        return self.sign * line[self.metric] if math.isfinite(line[self.metric]) else -math.inf


def results(config: dict, folder: TrialFolder, report_share: ReportShare | None = None) -> Iterator[dict]:
    """Train a trial and yield a result of plain values per epoch; see `result` for its keys.

    `report_share` receives how far a long epoch is; without it, that is written to the folder.
    A resumed trial first repeats the epoch of its checkpoint: a kill may have kept the caller from receiving it.
    """
    resume = begin(config, folder)
    if resume:
        yield repeated(config, folder)
    run, data_root = Run.model_validate(config["run"]), root_of(config["data_root"])
    try:
        for report in train(run, data_root, resume, Pace(report_share or folder.note)):
            yield kept(config, folder, report)
    except Diverged as error:
        yield diverged(folder, str(error))


def begin(config: dict, folder: TrialFolder) -> Path | None:
    """Open the folder of a trial that is to be trained. Returns the checkpoint to resume from, if there is one.

    Raises CheckpointError if another training is there.
    """
    run, file = Run.model_validate(config["run"]), folder.path / layout.CONFIG
    if run.early_stopping:
        folder.needed.add(run.early_stopping.metric)
    resume, is_known = folder.open(), may_be_of(file, run)
    if not is_known:
        (folder.path / layout.DIVERGED).unlink(missing_ok=True)
    if resume and not is_known:
        raise CheckpointError(f"{file}: was trained with other settings. Put them back, or remove {folder.path}.")
    write_whole(file, json.dumps({key: config[key] for key in IDENTITY if key in config}, indent=2) + "\n")
    if resume:
        folder.reopen = partial(reopen, run, root_of(config["data_root"]), resume)
    return resume


def may_be_of(file: Path, run: Run) -> bool:
    """Whether the config.json of a trial is of `run`. If it is lost, nothing speaks against it."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))["run"]
    except (OSError, ValueError, LookupError, TypeError):
        return True
    return is_of(saved, run)


def repeated(config: dict, folder: TrialFolder) -> dict:
    """The result of the epoch of the checkpoint."""
    over = is_over(config, folder.lines)
    if over:
        folder.fit()
    return result(folder, folder.lines[-1], over)


def kept(config: dict, folder: TrialFolder, report: Report) -> dict:
    """Keep an epoch that has just been trained. Returns its result."""
    over = report.training.is_over or report.epoch == last_epoch_of(config)
    folder.keep(report, draw=draws_after(report.epoch, config, over))
    if over:
        folder.fit()
    return result(folder, folder.lines[-1], over)


def diverged(folder: TrialFolder, how: str) -> dict:
    """The last result of a trial that diverged."""
    within_epoch.forget(folder.path)
    folder.note_divergence(how)
    folder.settle()
    known = {"epoch": len(folder.lines), "value": math.nan, "metrics": {}, "finished": False}
    return known | {"diverged": how, "done": True}


def draws_after(epoch: int, config: dict, over: bool) -> bool:
    """Whether a trial that `draws` does so after an epoch: after every `pictures_every` of them, and the last."""
    every = config["pictures_every"]
    return config["draws"] and (over or bool(every and epoch % every == 0))


def result(folder: TrialFolder, line: dict, finished: bool) -> dict:
    """One epoch as plain values, to be passed to another process.

    `value` is the objective, `finished` is true after the last epoch, `done` when no further result follows.
    """
    counts = {key: line[key] for key in COUNTS}
    value, metrics = line[folder.metric], metrics_of(line)
    notice, folder.notice = folder.notice, None
    told = {"notice": notice} if notice else {}
    told |= {"value": value, "metrics": metrics, "finished": finished, "diverged": None, "done": finished}
    return counts | told
