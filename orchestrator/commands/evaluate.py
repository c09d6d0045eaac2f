"""The verb `evaluate`: measures trained models. Each result is kept with its model and sent to MLflow.

`evaluation/orders.py` says what each model still lacks, `evaluation/jobs.py` measures it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from orchestrator import output, terminal
from orchestrator.clusters.connection import Connection
from orchestrator.commands.site import HERE, Site
from orchestrator.errors import NoResult, UserError
from orchestrator.evaluation.jobs import answers
from orchestrator.evaluation.models import ALL, trained_models
from orchestrator.evaluation.orders import Ending, Order, current, orders_of
from orchestrator.evaluation.selection import Selection, select_evaluations, written_in
from orchestrator.reporting.comparison import TABLE, Comparison, compare, print_all
from orchestrator.shell import command, command_for
from orchestrator.signals import Noted
from orchestrator.storage import layout, locks
from orchestrator.storage.disk import TRY_AGAIN, disk_errors_reported
from orchestrator.storage.evaluations_file import StoredResult
from orchestrator.storage.sweep_folder import recorded_root
from orchestrator.storage.workspace import Workspace
from orchestrator.sweep.changes import check_data, datasets, recorded_origin
from orchestrator.sweep.results_file import refresh
from orchestrator.terminal import description_column, say
from orchestrator.text import show
from orchestrator.tracking.client import prepare_store
from orchestrator.tracking.identity import is_recorded
from orchestrator.tracking.tracker import Tracker
from trainables.common.roots import recorded


def evaluate(
    target: str, workspace: Workspace, asked: Selection, form: str, site: Site = HERE
) -> KeyboardInterrupt | None:
    """Measure trained models of the sweep or run `target` and print their numbers side by side.

    Returns what stopped it, or None. Raises UserError, TrackingError, Fault, and NoResult if nothing could be measured;
    results that were found before an error are kept.
    """
    console = terminal.console(stderr=form != TABLE)
    orders, ending = measure_models(target, workspace, asked, console, site)
    print_all(side_by_side(orders), form, console)
    stop = ending.judge(console)
    if not stop and not any(order.found_any() for order in orders):
        raise NoResult(f"{target}: nothing of what was asked for could be measured.", *reasons(orders))
    return stop


def measure_models(
    target: str, workspace: Workspace, asked: Selection, console: Console, site: Site = HERE
) -> tuple[list[Order], Ending]:
    """Measure what is lacking of the models of `target`, and keep it with them, in results.json and in MLflow.

    Returns what was asked of each model and what is known of it now, and how it ended. Raises UserError, TrackingError.
    """
    written = written_in(workspace.folder(target.partition("/")[0]))
    evaluations = select_evaluations(asked.metrics, asked.settings, written)
    folder, models = trained_models(workspace.out, target, asked.trials, asked.checkpoint or written.checkpoint)
    output.log_to(folder)
    with (
        disk_errors_reported(folder, TRY_AGAIN),
        locks.driver(folder, locks.EVALUATES),
        site.kept(folder),
    ):
        orders, refused = orders_of(models, evaluations, asked.again)
        root = workspace.data_root or recorded_root(folder)
        data = site.data(replace(workspace, data_root=root))
        check_data(recorded_origin(folder), datasets(order.run for order in orders if order.lacking), data)
        with recorder(folder, workspace, console, site) as tracker:
            ending = measure(orders, refused, folder, recorded(root), console, site.cluster)
            for order in orders:
                order.close(tracker, folder)
        refresh(folder)
    return orders, ending


def reasons(orders: list["Order"]) -> list[str]:
    """Why evaluations have no numbers, each reason once."""
    found = (finding for order in orders for finding in order.found.values() if finding["undefined"])
    return list(dict.fromkeys(f"  {finding['metric']}: {finding['undefined']}" for finding in found))


def stored(out: Path, target: str) -> Comparison:
    """The known results for the trained models of a sweep or run, the newest of each value. Raises UserError."""
    folder, best = trained_models(out, target, None if "/" in target else ALL)
    models = [*best, *(model.at("last") for model in best)]
    known = [model.in_tables(findings) for model in models if (findings := current(model))]
    if not known:
        raise UserError(f"{folder}: nothing was evaluated yet: {command('evaluate', target, out)}")
    return compare(known)


def measure(
    orders: list[Order], refused: list[str], folder: Path, data_root: str | None, console: Console, cluster: Connection
) -> Ending:
    """Measure all that is lacking, and print each result as it comes. Adds lines to `refused`."""
    shared = folder.parent / layout.SHARED
    jobs = [job for order in orders if (job := order.job(folder, data_root, shared))]
    by_id = {order.model.id: order for order in orders}
    failed: list[str] = []
    with progress(console, sum(len(job["evaluations"]) for job in jobs)) as step, Noted() as signal:
        try:
            for answer in answers(jobs, folder, cluster) if jobs else ():
                if "finding" in answer:
                    by_id[answer["id"]].take(answer["finding"], answer["files"])
                    step("" if answer["finding"]["undefined"] else line_of(answer["id"], answer["finding"]))
                refused += [answer["refused"]] if "refused" in answer else []
                failed += [f"{answer['id']}: {answer['failed']}"] if "failed" in answer else []
                signal.check()
        except KeyboardInterrupt as stop:
            say(console, "Interrupted. The same command goes on from here.")
            return Ending(stop, refused, failed)
    return Ending(None, refused, failed)


@contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on a terminal. Yields a function to call after each finding, with its line or an empty string.

    A finding without numbers has no line: the reason is printed once, below the table.
    """
    columns = description_column(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not (total and console.is_terminal)) as bar:
        task = bar.add_task("evaluating", total=total)

        def step(line: str) -> None:
            if bar.live.is_started and not console.is_terminal:  # the terminal was lost
                bar.stop()
            if line:
                say(console, line)
            bar.advance(task)

        yield step


def line_of(model: str, finding: StoredResult) -> str:
    """A finding in one line."""
    numbers = "  ".join(f"{name} {show(value)}" for name, value in finding["values"].items())
    drawn = f"pictures {', '.join(finding['pictures'])}"
    return f"{model} {finding['metric']} ({finding['seconds']:.1f} s)  {numbers or drawn}"


@contextmanager
def recorder(folder: Path, workspace: Workspace, console: Console, site: Site) -> Iterator[Tracker | None]:
    """Yields the Tracker of a folder that was recorded in MLflow; None for any other. Raises UserError."""
    if not is_recorded(folder):
        if workspace.tracking_uri:
            raise UserError(f"{folder}: was not recorded in MLflow: leave out --tracking-uri.")
        yield None
        return
    uri = site.store(workspace, folder)
    if uri:
        prepare_store(uri)
    tracker = Tracker(uri, folder.name, folder.name, folder)
    try:
        yield tracker
    finally:
        for line in tracker.close().lines(command_for("sync", folder)):
            say(console, line)


def side_by_side(orders: list[Order]) -> Comparison:
    """Compares what was found of each model. Models that differ in their seed alone share a label."""
    return compare([order.model.in_tables(list(order.found.values())) for order in orders])
