"""What the verbs `sweep` and `train` do once the spec is sound: data, places, watchers, and the last words."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orchestrator import output, terminal
from orchestrator.checks.reading import load_all
from orchestrator.commands.dry_run import plan
from orchestrator.errors import NoResult, UserError
from orchestrator.execution.oom import NO_ROOM, REFUSED
from orchestrator.execution.run import Outcome, claim, run_sweep
from orchestrator.reporting.console import Board, watch
from orchestrator.reporting.leaderboard import as_json, as_table, misfortunes, show
from orchestrator.shell import command, command_for
from orchestrator.signals import Noted
from orchestrator.space.candidates import examples
from orchestrator.storage import locks
from orchestrator.storage.disk import disk_errors_told
from orchestrator.storage.within_epoch import Hear, Lines
from orchestrator.storage.within_epoch import told as share_told
from orchestrator.sweep.changes import check_data, check_run, datasets, note_run, origin_of_run, told
from orchestrator.sweep.ranking import ranked
from orchestrator.sweep.reuse import made_with
from orchestrator.sweep.single_run import Teller
from orchestrator.terminal import say
from orchestrator.tracking.identity import recorded_store
from orchestrator.tracking.mlflow_store import prepare_store
from orchestrator.tracking.start import open_run, open_tracker
from orchestrator.tracking.store_address import check_early, store_for_new
from orchestrator.tracking.tracker import HASTE_S, Left
from trainables.common.errors import CheckpointError
from trainables.common.roots import Root, recorded
from trainables.data import Dataset

if TYPE_CHECKING:
    from orchestrator.space.candidates import Trial
    from orchestrator.spec.records import SweepSpec
    from orchestrator.storage.trial_folder import TrialFolder

SHOWN = 10  # trials in the closing leaderboard


def launch(
    spec: "SweepSpec",
    trials: "list[Trial]",
    spec_file: Path,
    out: Path,
    uri: str,
    data_root: Root,
    json_wanted: bool,
    reuse: bool = False,
) -> KeyboardInterrupt | None:
    """Run a sweep, and tell of it. What stopped it, if anything did. Raises UserError, TrackingError and DataError."""
    prepare(spec, trials, uri, data_root, terminal.console(stderr=json_wanted))
    folder = claim(out, spec)
    with locks.driver(folder):
        return run_and_tell(spec, trials, folder, out, str(spec_file), uri, data_root, json_wanted, reuse)


def prepare(spec: "SweepSpec", trials: "list[Trial]", uri: str, data_root: Root, console: Console) -> None:
    """Read the data and open the store, before anything starts. Raises UserError."""
    check_early(uri)
    load_all(datasets(trial.run for trial in examples(spec, trials)), data_root, console)
    prepare_store(uri)


def run_and_tell(
    spec: "SweepSpec",
    trials: "list[Trial]",
    folder: Path,
    out: Path,
    source: str,
    uri: str,
    data_root: Root,
    json_wanted: bool,
    reuse: bool,
) -> KeyboardInterrupt | None:
    """Run a sweep whose folder is claimed, from wherever it left off, and tell of it. What stopped it, if anything."""
    output.log_to(folder)
    console = terminal.console(stderr=json_wanted)
    try:
        tracker = open_tracker(uri, spec, trials, folder, source, data_root)
        planned = plan(spec, trials, out)
        for note in planned["notes"]:
            say(console, f"note         {note}")
        sizes = planned["trials"], planned["epochs_expected"]
        view = watch(Board(spec.name, spec.objective.metric, spec.objective.mode, *sizes), console)
        stopped = True  # unless it comes to its end
        try:
            outcome = run_sweep(spec, trials, folder, tracker, view, data_root, source, reuse)
            stopped = outcome.interrupted
        finally:
            view.close()
            left = tracker.close(*([HASTE_S, HASTE_S] if stopped else []))
        close(console, outcome, out, left, json_wanted)
    except KeyboardInterrupt:  # before it began, or for the second time
        say(console, f"resume       {command_for('resume', folder)}")
        raise
    return outcome.stop


def close(console: Console, outcome: Outcome, out: Path, left: Left, json_wanted: bool) -> None:
    """The last words of a sweep: the leaderboard, where the best is, and what to do next.

    Raises NoResult for one that came to its end without a trial that can be ranked.
    """
    name = outcome.results["name"]
    if json_wanted:
        print(as_json(outcome.results), end="")
    say(console, as_table(outcome.results, console.width, SHOWN))
    best = next((trial for trial in ranked(outcome.results) if trial["checkpoint"]), None)
    lines = [f"results      {outcome.folder / 'results.json'}"]
    if best:
        lines.insert(0, f"checkpoint   {best['checkpoint']}")
        lines.insert(1, f"pictures     {outcome.folder / 'trials' / best['id'] / 'pictures'}")
    lines.append(f"compare      {command('ui', name, out)}")
    lines += left.lines(command("sync", name, out))
    if outcome.results.get("budget", {}).get("used_up"):
        lines.append("The budget is used up; these are the trials that had begun.")
    if outcome.interrupted:
        lines.append("The sweep was interrupted; these are the trials that had begun.")
        lines.append(f"resume       {command_for('resume', outcome.folder)}")
    for line in lines:
        say(console, line)
    if not outcome.interrupted and (reasons := misfortunes(outcome.results)):
        raise NoResult(*reasons)


def train_one(spec: "SweepSpec", out: Path, data_root: Root, uri: str | None, source: str) -> None:
    """Train the spec's run into OUT/NAME, a line per epoch; goes on from that folder's checkpoint if there is one.

    MLflow is told of it at `uri`, else where it was told before, else where the environment or `out` has its store.
    Raises UserError, and NoResult for a run that diverges.
    """
    from orchestrator.storage.trial_folder import TrialFolder, results

    folder = (out / spec.name).resolve()
    if (folder / "spec.yaml").exists():
        raise UserError(f"{folder}: holds a sweep. Choose another --name or --out.")
    uri = uri or recorded_store(folder) or store_for_new(out)
    check_early(uri)
    sets, console = [spec.run.data], terminal.console()
    taken_up = any(folder.glob("checkpoint*.pt"))
    if taken_up:
        check_run(folder, spec.run)
        tell_changes_of_run(folder, sets, data_root, console)
    load_all(sets, data_root, console)
    output.log_to(folder)
    trial = TrialFolder(folder, spec.objective.metric, spec.objective.mode)
    teller = Teller(partial(open_run, uri, spec, folder, source, data_root), folder)
    with disk_errors_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        note_run(folder, sets, data_root, made_with(data_root), taken_up)
        with faults_told(folder, console), Noted() as stop, teller:
            for result in results(config_of(spec, data_root), trial, shares_told(trial, console)):
                say(console, epoch_line(result, spec.run.epochs))
                teller.hear(result, trial.lines)
                stop.check()
    places = [("checkpoint", folder / "best.pt"), ("pictures", folder / "pictures")]
    there = [f"{name:<12} {place}" for name, place in places if place.exists()]
    for line in [*there, f"compare      {command('ui', spec.name, out)}", *teller.lines]:
        say(console, line)
    if result["diverged"]:
        raise NoResult(f"{folder}: diverged: {result['diverged']}. Try a lower run.optimizer.lr.")
    if not math.isfinite(trial.best):
        raise NoResult(f"{folder}: {spec.objective.metric} was never finite.")


@contextmanager
def faults_told(folder: Path, console: Console) -> Iterator[None]:
    """Say how a run that was trained alone goes on, and raise UserError for what only the user can mend."""
    try:
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


def shares_told(trial: "TrialFolder", console: Console) -> Hear:
    """Says now and then how far the trial's epoch is."""
    lines = Lines()

    def hear(share: float, seconds: float) -> None:
        epoch = len(trial.lines) + 1
        if lines.due(trial.path.name, epoch, share, seconds):
            say(console, share_told(epoch, share, seconds))

    return hear


def config_of(spec: "SweepSpec", data_root: Root) -> dict[str, Any]:
    """What a run that is trained alone is made of, in plain values, as a slot's trials are."""
    return {
        "id": spec.name,
        "config": {},
        "seed": spec.run.seed,
        "objective": spec.objective.model_dump(),
        "run": spec.run.model_dump(mode="json"),
        "data_root": recorded(data_root),
        "pictures_every": spec.pictures_every,
    }


def tell_changes_of_run(folder: Path, sets: list[Dataset], data_root: Root, console: Console) -> None:
    """Say what is not as it was when the run in `folder` began. Raises UserError where that is its data."""
    of = origin_of_run(folder)
    check_data(of, sets, data_root)
    for line in told(of, made_with(data_root)):
        say(console, f"changed      {line}")


def epoch_line(result: dict[str, Any], epochs: int) -> str:
    """One epoch for people."""
    if result["diverged"]:
        return f"diverged: {result['diverged']}"
    metrics = "  ".join(f"{name} {show(value)}" for name, value in result["metrics"].items())
    return f"epoch {result['epoch']}/{epochs}  {result['seconds']:.1f} s  {metrics}"
