"""The verb `watch`: the view of a sweep or run that another process trains, read from its folder.

It changes nothing there. `reporting/journal_view.py` reads the journal of a sweep.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console

from orchestrator.commands.dry_run import described
from orchestrator.commands.stop import trainer_of
from orchestrator.commands.target import at_rest, folder_of
from orchestrator.commands.train import epoch_line
from orchestrator.reporting import console as views
from orchestrator.reporting.console import Board
from orchestrator.reporting.journal_view import Growing, JournalReader, show
from orchestrator.shell import command_for
from orchestrator.spec.records import SweepSpec
from orchestrator.storage import layout, locks
from orchestrator.storage.json_files import read_object
from orchestrator.storage.metric_lines import from_json, metrics_of
from orchestrator.sweep.folder import recorded_spec
from orchestrator.sweep.inventory import begun, progress
from orchestrator.terminal import console, say

LOOK_S = 0.5  # between looks at the folder


def watch(name: str, out: Path) -> None:
    """Show the sweep or run OUT/NAME until it ends. Raises UserError for one that does not run."""
    folder, to = folder_of(out, name), console()
    trainer_of(folder)
    with _goes_on(folder, to):
        (watch_sweep if (folder / layout.SPEC).is_file() else watch_run)(folder, to)
    say(to, at_rest(folder))


def watch_sweep(folder: Path, to: Console) -> None:
    """Show the board of a sweep until no process trains in its folder."""
    spec = recorded_spec(folder)
    reader, board = JournalReader(folder, spec), board_of(folder, spec)
    with closing(views.watch(board, to)) as view:
        view.recall(reader.news(), list(reader.paused))
        view.say(f"{board.counts()}; best so far: {board.best_so_far()}")
        follow(folder, lambda: show(reader, view))
        view.sweep_ended("", {}, {})


def watch_run(folder: Path, to: Console) -> None:
    """Print a line for each epoch of a run that is trained alone, until no process trains in its folder."""
    config, lines = folder / layout.CONFIG, Growing(folder / layout.METRICS)

    def look() -> None:
        for text in lines.lines():
            line = from_json(text.decode())
            epochs = read_object(config, "It is written anew when the run goes on.")["run"]["epochs"]
            result = {"epoch": line["epoch"], "seconds": line["seconds"], "metrics": metrics_of(line)}
            say(to, epoch_line(result | {"diverged": None}, epochs))

    follow(folder, look)


def follow(folder: Path, look: Callable[[], None]) -> None:
    """Call `look` again and again while a process trains in `folder`, and once more after its end."""
    while (holder := locks.holder(folder)) and holder.work in ("", locks.TRAINS):
        look()
        time.sleep(LOOK_S)
    look()


def board_of(folder: Path, spec: SweepSpec) -> Board:
    """An empty board of a sweep, of the sizes that its own process shows."""
    planned = described(progress(folder).plan(spec), folder, None)
    started = begun(folder) or time.time()
    objective, sizes = spec.objective, (planned["trials"], planned["epochs_expected"])
    return Board(folder.name, objective.metric, objective.mode, *sizes, clock=time.time, started=started)


@contextmanager
def _goes_on(folder: Path, to: Console) -> Iterator[None]:
    """Says that a signal has ended the watching alone."""
    try:
        yield
    except KeyboardInterrupt:
        say(to, f"It goes on. Watch it again: {command_for('watch', folder)}. Stop it: {command_for('stop', folder)}")
        raise
