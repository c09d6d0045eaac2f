"""The verb `train`: one run in this process, without Ray. `sweep/single_run.py` logs it to MLflow."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orchestrator import output, terminal
from orchestrator.checks.reading import load_all
from orchestrator.errors import NoResult, UserError
from orchestrator.execution.oom import NO_ROOM, REFUSED
from orchestrator.shell import command
from orchestrator.signals import Noted
from orchestrator.storage import layout, locks
from orchestrator.storage.disk import disk_errors_reported
from orchestrator.storage.within_epoch import Lines, ReportShare, share_text
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import check_data, check_run, note_run, origin_of_run, told
from orchestrator.sweep.reuse import made_with
from orchestrator.sweep.single_run import RunReporter
from orchestrator.terminal import say
from orchestrator.text import show
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.start import open_run
from orchestrator.tracking.store_address import check_early, store_for_new
from trainables.common.errors import CheckpointError
from trainables.common.lazy import LazyModule
from trainables.common.roots import Root, recorded
from trainables.data import Dataset
from trainables.data.access import DataAccess

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec
    from orchestrator.storage.trial_folder import TrialFolder

overview = LazyModule("orchestrator.figures.overview")


def train(spec: "SweepSpec", workspace: Workspace, source: str) -> None:
    """Train the spec's run into OUT/NAME, a line per epoch. It resumes from the folder's checkpoint if there is one.

    The run is logged to the workspace's store, else to the store it was logged to before, else to the store of the
    environment or of `out`. Raises UserError, and NoResult for a run that diverges or has no finite objective.
    """
    from orchestrator.storage.trial_folder import TrialFolder, results

    out, data_root, folder = workspace.out, workspace.data_root, workspace.folder(spec.name)
    if (folder / layout.SPEC).exists():
        raise UserError(f"{folder}: holds a sweep. Choose another --name or --out.")
    uri = workspace.tracking_uri or recorded_store(folder) or store_for_new(out)
    check_early(uri)
    sets, console = [spec.run.data], terminal.console()
    taken_up = any((folder / name).exists() for name in (layout.CHECKPOINT, layout.PREVIOUS_CHECKPOINT))
    if taken_up:
        check_run(folder, spec.run)
        report_changes_of_run(folder, sets, workspace.data, console)
    load_all(sets, data_root, console)
    output.log_to(folder)
    for note in spec.run.notes():
        say(console, f"note         {note}")
    trial = TrialFolder(folder, spec.objective.metric, spec.objective.mode)
    reporter = RunReporter(partial(open_run, uri, spec, folder, source, workspace.data), folder)
    with disk_errors_reported(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with training_in(folder, console), Noted() as stop, reporter:
            note_run(folder, sets, workspace.data, made_with(data_root), taken_up)
            for result in results(config_of(spec, data_root), trial, shares_told(trial, console)):
                if notice := result.get("notice"):
                    say(console, f"note         {notice}")
                say(console, epoch_line(result, spec.run.epochs))
                reporter.report(result, trial.lines)
                stop.check()
    for line in [*closing(folder), f"compare      {command('ui', spec.name, out)}", *reporter.lines]:
        say(console, line)
    if result["diverged"]:
        raise NoResult(f"{folder}: diverged: {result['diverged']}. Try a lower run.optimizer.lr.")
    if not math.isfinite(trial.best):
        raise NoResult(f"{folder}: {spec.objective.metric} was never finite.")


def closing(folder: Path) -> Iterator[str]:
    """Draw the curves of a run, and say what lies in its folder, a line each."""
    for line in overview.draw_overview(folder):
        yield f"note         {line}"
    for name, file in (("checkpoint", layout.BEST), ("pictures", layout.PICTURES), ("curves", layout.CURVES)):
        if (folder / file).exists():
            yield f"{name:<12} {folder / file}"


@contextmanager
def training_in(folder: Path, console: Console) -> Iterator[None]:
    """Hold the run's folder, and print how to resume an interrupted run.

    Raises UserError for errors that only the user can fix, and if another process trains here.
    """
    try:
        with locks.driver(folder, locks.TRAINS):
            yield
    except KeyboardInterrupt:
        say(console, "Interrupted. The same command goes on from here.")
        raise
    except (RuntimeError, MemoryError) as error:
        if not REFUSED.search(repr(error)):
            raise
        raise UserError(f"{folder}: {NO_ROOM}") from None
    except CheckpointError as error:
        raise UserError(f"{error} Choose another --name or --out, or remove {folder}.") from None


def shares_told(trial: "TrialFolder", console: Console) -> ReportShare:
    """A function that prints, now and then, how far the trial's epoch is."""
    lines = Lines()

    def report_share(share: float, seconds: float) -> None:
        epoch = len(trial.lines) + 1
        if lines.due(trial.path.name, epoch, share, seconds):
            say(console, share_text(epoch, share, seconds))

    return report_share


def config_of(spec: "SweepSpec", data_root: Root) -> dict[str, Any]:
    """The config of a run that is trained alone, in plain values, in the form that a slot's trials have."""
    return {
        "id": spec.name,
        "config": {},
        "seed": spec.run.seed,
        "objective": spec.objective.model_dump(),
        "run": spec.run.model_dump(mode="json"),
        "data_root": recorded(data_root),
        "draws": True,
        "pictures_every": spec.pictures_every,
    }


def report_changes_of_run(folder: Path, sets: list[Dataset], data: DataAccess, console: Console) -> None:
    """Print what has changed since the run in `folder` began. Raises UserError if its data have."""
    of = origin_of_run(folder)
    check_data(of, sets, data)
    for line in told(of, made_with(data.root)):
        say(console, f"changed      {line}")


def epoch_line(result: dict[str, Any], epochs: int) -> str:
    """The result of an epoch in one line."""
    if result["diverged"]:
        return f"diverged: {result['diverged']}"
    metrics = "  ".join(f"{name} {show(value)}" for name, value in result["metrics"].items())
    return f"epoch {result['epoch']}/{epochs}  {result['seconds']:.1f} s  {metrics}"
