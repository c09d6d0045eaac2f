"""Reads every data set before anything starts, and prints which, how far reading is, and what was left out."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from orchestrator.errors import UserError
from orchestrator.terminal import console as console_of
from orchestrator.terminal import description_column, say
from orchestrator.text import mebibytes
from trainables.common.errors import DataError
from trainables.common.roots import Root, in_bucket
from trainables.data import Dataset, Facts
from trainables.data.access import DataAccess
from trainables.data.base.bounds import SMALL_BYTES, size_of
from trainables.data.base.progress import reported_to
from trainables.data.loading import load_splits
from trainables.data.remote.fetch import folder_of

EVERY_S = 10.0  # between lines, where there is no terminal


def load_all(datasets: Iterable[Dataset], data_root: Root, console: Console) -> None:
    """Read every data set once before anything starts. Raises UserError for one that is missing or damaged."""
    for dataset in dict.fromkeys(datasets):
        try:
            if in_bucket(data_root):
                fetch(dataset, data_root)
            say(console, f"reading      {described(dataset)}")
            with row_progress(console, dataset.name) as told, reported_to(told):
                notes = load_splits(dataset, data_root).notes
        except DataError as error:
            raise UserError(str(error)) from None
        for note in notes:
            say(console, f"note         {dataset.name}: {note}")


def facts_of(dataset: Dataset, data: DataAccess) -> Facts:
    """The facts of a data set. Prints progress where many or large files of the user's own are read for them.

    Raises DataError.
    """
    console = console_of(stderr=True)
    size = size_on_disk(dataset) if dataset.is_own else 0
    if size > SMALL_BYTES:
        say(console, f"reading      {described(dataset)}, {size_of(size)}")
    with reported_to(line_progress(console, dataset.name)):
        return data.facts(dataset)


def size_on_disk(dataset: Dataset) -> int:
    """Bytes of the user's own file; 0 for a folder, and for a file that cannot be read."""
    try:
        [[name]] = dataset.wanted()
        return Path(name).stat().st_size if Path(name).is_file() else 0
    except OSError:
        return 0


def described(dataset: Dataset) -> str:
    """A data set with its settings, such as `celeba crop=148`."""
    own = dataset.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    return " ".join([dataset.name, *(f"{name}={value}" for name, value in own.items())])


@contextmanager
def row_progress(console: Console, name: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, lines elsewhere. Yields a function to call with the rows read and their total."""
    if not console.is_terminal:
        yield line_progress(console, name)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = description_column(), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{name}: rows", total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def line_progress(console: Console, name: str) -> Callable[[int, int], None]:
    """A function that prints how many rows are read, at most every EVERY_S seconds."""
    last = time.monotonic()

    def told(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            say(console, f"reading      {name}: {done:,} of {of:,} rows")

    return told


def fetch(dataset: Dataset, root: str) -> Path | None:
    """Fetch a prepared set from a bucket with a progress bar; None where there is none and none is needed.

    Raises DataError.
    """
    with bar(f"{dataset.name}: fetching", announced=True) as told:
        return folder_of(dataset, root, told)


@contextmanager
def bar(what: str, announced: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal. Yields a function to call with the bytes done and their total.

    Elsewhere it prints one line if `aloud`, and nothing otherwise.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from orchestrator import terminal

    columns = terminal.description_column(), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    console = terminal.console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)

        def told(done: int, of: int) -> None:
            if announced and not console.is_terminal and progress.tasks[task].total is None:
                terminal.say(console, f"{what} {mebibytes(of)}")
            progress.update(task, completed=done, total=of)

        yield told
