"""Draws the pictures of trained models, each as it was after its best epoch.

A sweep's best trials are drawn once all trials have ended. Where the driver's machine has GPUs, or is none that trains,
tasks of Ray draw them: there Ray places what needs a device, and the data may be on other nodes alone. Otherwise the
driver itself does: it has drawn before a new process has begun. Only the driver writes the files.
`trainables/pictures.py` makes the pictures.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from orchestrator.clusters.connection import THIS_MACHINE, Connection
from orchestrator.clusters.model_file import model_file
from orchestrator.clusters.resources import gpus
from orchestrator.clusters.scratch import scratch_folder
from orchestrator.errors import UserError
from orchestrator.shell import command
from orchestrator.spec.records import Resources, SweepSpec
from orchestrator.storage import layout
from orchestrator.storage.metric_lines import history
from orchestrator.sweep.events import Listeners
from orchestrator.sweep.ranking import ranked
from trainables.common.files import remove_half_written
from trainables.common.roots import root_of
from trainables.common.threads import torch_threads
from trainables.run import Run

LOOK_S = 1.0  # between looks at Ray and at signals
RETRIES = 2  # of a drawing whose process or node was lost

Files = dict[str, bytes]
"""PNG files by their names."""
Jobs = dict["Drawing", dict[str, Any]]
"""What is to be drawn, with what `draw` needs for it."""
Answer = tuple["Drawing", Files | str]
"""What was drawn, with its files; or why it could not be."""


@dataclass(frozen=True)
class Drawing:
    """The pictures of a trained model as it was after an epoch, the best one. `folder` is its trial's, or a run's."""

    trial: str
    folder: Path
    epoch: int

    @property
    def place(self) -> Path:
        """The folder of the pictures: it is there once all of them are."""
        return layout.pictures_folder(self.folder, self.epoch)

    def job(self, run: dict[str, Any], data_root: str | None, threads: int) -> dict[str, Any]:
        """What `draw` needs, in plain values. Raises UserError for a damaged history."""
        path = layout.trial_folder(Path(), self.trial) / layout.BEST
        where = {"checkpoint": str(self.folder / layout.BEST), "path": str(path), "data_root": data_root}
        return {"run": run, "history": history(self.folder)[: self.epoch], "threads": threads} | where

    def keep(self, files: Files) -> None:
        """Write the pictures, all or none. Raises OSError."""
        beside = self.place.with_name(f".{self.place.name}.{os.getpid()}")
        beside.parent.mkdir(exist_ok=True)
        remove_half_written(beside.parent)
        try:
            beside.mkdir()
            for name, content in files.items():
                (beside / name).write_bytes(content)
            beside.replace(self.place)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def draw(job: dict[str, Any]) -> Files:
    """Draw a model's pictures. Raises CheckpointError and DataError."""
    from trainables.train import reopen

    with torch_threads(job["threads"]), model_file(job) as saved, scratch_folder() as scratch:
        report = reopen(Run.model_validate(job["run"]), root_of(job["data_root"]), saved)
        return {path.name: path.read_bytes() for path in report.draw(scratch, job["history"])}


def drawn_here(jobs: Jobs) -> Iterator[Answer]:
    """Draw in this process, one after the other."""
    for one, job in jobs.items():
        try:
            yield one, draw(job)
        except Exception as error:  # any kind: only this one cannot be drawn
            yield one, told(error)


def drawn_by_tasks(jobs: Jobs, resources: Resources) -> Iterator[Answer | None]:
    """Draw on the Ray of this process, as many at a time as it has room for. Yields None every LOOK_S meanwhile."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    share = {"num_cpus": resources.cpus_per_worker, "num_gpus": min(1, resources.gpus_per_worker)}
    task = ray.remote(draw).options(**share, max_retries=RETRIES)
    waiting = {task.remote(job): one for one, job in jobs.items()}
    while waiting:
        ready, _ = ray.wait(list(waiting), timeout=LOOK_S)
        for done in ready:
            one = waiting.pop(done)
            try:
                yield one, ray.get(done)
            except RayError as error:
                yield one, told(error.cause if isinstance(error, RayTaskError) else error)
        yield None


def told(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


class BestPictures:
    """The pictures of a sweep's best trials. Those that are there are not drawn again, so a killed sweep goes on."""

    def __init__(self, spec: SweepSpec, listeners: Listeners):
        self.spec, self.listeners, self.results_file = spec, listeners, listeners.results_file
        self.failed: set[str] = set()  # trials that cannot be drawn

    def left(self) -> list[Drawing]:
        """Those that are still to be drawn, once all trials have ended; the best trial's first."""
        return [one for one in self._wanted() if not one.place.exists() and one.trial not in self.failed]

    def draw(self, place: dict[str, Any], cluster: Connection, check: Callable[[], None]) -> None:
        """Draw what is left, inside the context of the cluster's Ray. Raises OSError.

        `place` says how nodes reach the driver's files; `check` is called every now and then.
        """
        jobs, done = self._jobs(place), 0
        by_tasks = jobs and (cluster is not THIS_MACHINE or gpus())
        for answer in chain([None], drawn_by_tasks(jobs, self.spec.resources) if by_tasks else drawn_here(jobs)):
            if answer:
                self._take(*answer)
                done += 1
            if jobs:
                self.listeners.console.drawing(done, len(jobs))
            check()
            cluster.check()
            cluster.step_ended()

    def tell(self) -> None:
        """Tell the tracker of all that are there; it drops what it knows. Raises OSError."""
        for one in self._wanted():
            self.listeners.drawn(one.trial, one.epoch)

    def _wanted(self) -> list[Drawing]:
        if self.spec.pictures is None:
            return []
        found = []
        for trial in ranked(self.results_file.results()):
            if trial["best"] and trial["checkpoint"] and Path(trial["checkpoint"]).name == layout.BEST:
                folder = Path(self.results_file.trials[trial["id"]]["folder"])
                found.append(Drawing(trial["id"], folder, trial["best"]["epoch"]))
        return found if self.spec.pictures.top == "all" else found[: self.spec.pictures.top]

    def _jobs(self, place: dict[str, Any]) -> Jobs:
        jobs: Jobs = {}
        for one in self.left():
            of = self.results_file.trials[one.trial]
            try:
                jobs[one] = one.job(of["run"], of["data_root"], of["threads"]) | place
            except UserError as error:
                self._take(one, str(error))
        return jobs

    def _take(self, drawing: Drawing, found: Files | str) -> None:
        """Keep what was drawn. What could not be is no reason to fail the sweep: the user is told. Raises OSError."""
        if not isinstance(found, str):
            drawing.keep(found)
            return
        self.failed.add(drawing.trial)
        folder = self.results_file.folder
        again = command("draw", f"{folder.name}/{drawing.trial}", folder.parent)
        self.listeners.console.trial_noticed(drawing.trial, f"was not drawn: {found} Try again: {again}")
