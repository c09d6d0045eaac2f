"""The verb `evaluate`: numbers about trained models, after the fact. Each is kept with its model and sent to MLflow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from orchestrator import output, terminal
from orchestrator.commands.resume import recorded_origin, recorded_root
from orchestrator.errors import NoResult, UserError
from orchestrator.evaluation.jobs import Job, answers
from orchestrator.evaluation.models import ALL, Subject, subjects
from orchestrator.evaluation.selection import measures
from orchestrator.reporting.comparison import TABLE, Comparison, Measured, compare, print_all, provenance_of
from orchestrator.reporting.leaderboard import show
from orchestrator.shell import command, command_for
from orchestrator.signals import Noted
from orchestrator.storage import locks
from orchestrator.storage.disk import disk_errors_told
from orchestrator.storage.evaluations_file import Finding, Findings, key_of, newest, read
from orchestrator.storage.json_files import SHARED
from orchestrator.sweep.changes import check_data, datasets
from orchestrator.sweep.results_file import refresh
from orchestrator.terminal import description_column, say
from orchestrator.tracking.identity import is_recorded, recorded_store
from orchestrator.tracking.mlflow_store import prepare_store
from orchestrator.tracking.spool import PARENT
from orchestrator.tracking.tracker import Tracker
from trainables.common.roots import Root, recorded
from trainables.evaluations import Evaluation


class Fault(Exception):
    """A fault of ours, with the stories of the workers that met it."""


class Order:
    """What is asked of one model, and what has been found of it so far. Raises UserError for what cannot be read."""

    def __init__(self, model: Subject, asked: list[Evaluation], identities: list[dict[str, Any]], again: bool):
        self.model, self.files, self.run = model, Findings(model.folder), model.run
        self.asked = {evaluation.name: evaluation.model_dump(mode="json") for evaluation in asked}
        pairs = zip(self.asked, identities, strict=True)
        self.keys = {metric: key_of(model.digest, metric, identity) for metric, identity in pairs}
        known = {} if again else self.files.known
        self.found: dict[str, Finding] = {metric: known[key] for metric, key in self.keys.items() if key in known}

    @property
    def lacking(self) -> list[dict[str, Any]]:
        """The evaluations that are still to be made."""
        return [own for metric, own in self.asked.items() if metric not in self.found]

    def job(self, data_root: str | None, shared: Path) -> Job | None:
        """What is still to be measured, if anything."""
        where = {"checkpoint": str(self.model.checkpoint), "data_root": data_root, "kept": str(shared)}
        return {"id": self.model.id, "run": self.run, "evaluations": self.lacking} | where if self.lacking else None

    def take(self, finding: Finding, pictures: dict[str, bytes]) -> None:
        """Keep a finding, unless it may be another one tomorrow. Raises OSError."""
        metric = finding["metric"]
        finding = finding | {"checkpoint": self.model.digest}
        self.found[metric] = self.files.keep(self.keys[metric], finding, pictures) if finding["lasting"] else finding

    def found_any(self) -> bool:
        """Whether anything that was asked for has a value or a picture."""
        findings = self.found.values()
        return any(finding["pictures"] or set(finding["values"].values()) - {None} for finding in findings)

    def close(self, tracker: Tracker | None, folder: Path) -> None:
        """Make what was found, also long ago, the newest, here and in MLflow. Raises OSError."""
        uid = PARENT if self.model.folder == folder else self.model.id  # a run that was trained alone has no trials
        self.files.renew(self.keys.values())
        for metric, finding in self.found.items() if tracker else ():
            known = {name: value for name, value in finding["values"].items() if value is not None}
            rests_on = provenance_of(finding).line() if known else ""
            tracker.evaluated(uid, self.keys[metric], finding["epoch"], known, rests_on)
            paths = [self.model.folder / path for path in finding["pictures"]]
            tracker.pictures(uid, finding["epoch"], paths)


@dataclass(frozen=True)
class Ending:
    """How measuring ended: what stopped it, lines for the user, and stories of faults of ours."""

    stop: KeyboardInterrupt | None
    refused: list[str]
    failed: list[str]

    def judge(self, console: Console) -> KeyboardInterrupt | None:
        """What stopped it. Raises Fault and UserError, if nothing did."""
        if self.stop:
            for line in dict.fromkeys([*self.refused, *self.failed]):
                say(console, line)
        elif self.failed:
            raise Fault("\n".join(dict.fromkeys([*self.refused, *self.failed])))
        elif self.refused:
            raise UserError(*dict.fromkeys(self.refused))
        return self.stop


def evaluate(
    target: str,
    out: Path,
    metrics: str,
    settings: tuple[str, ...],
    trials: str | None,
    data_root: Root,
    uri: str | None,
    form: str,
    again: bool = False,
) -> KeyboardInterrupt | None:
    """Measure trained models of the sweep or run `target` and print their numbers side by side.

    With `again` also what is known. What stopped it, if anything did. Raises UserError, TrackingError, Fault, and
    NoResult if nothing could be measured; what was found by then is kept.
    """
    asked = measures(metrics, settings)
    folder, models = subjects(out, target, trials)
    output.log_to(folder)
    console = terminal.console(stderr=form != TABLE)
    with disk_errors_told(folder, "Free room, then try again."), locks.driver(folder):
        orders, refused = orders_of(models, asked, again)
        root = data_root or recorded_root(folder)
        check_data(recorded_origin(folder), datasets(order.run for order in orders if order.lacking), root)
        with recorder(folder, uri, console) as tracker:
            ending = measure(orders, refused, recorded(root), folder.parent / SHARED, console)
            for order in orders:
                order.close(tracker, folder)
        refresh(folder)
    print_all(side_by_side(orders), form, console)
    stop = ending.judge(console)
    if not stop and not any(order.found_any() for order in orders):
        raise NoResult(f"{target}: nothing of what was asked for could be measured.", *reasons(orders))
    return stop


def reasons(orders: list["Order"]) -> list[str]:
    """Why nothing was found, each reason once."""
    found = (finding for order in orders for finding in order.found.values())
    return list(dict.fromkeys(f"  {finding['metric']}: {finding['undefined']}" for finding in found))


def stored(out: Path, target: str) -> Comparison:
    """What is known of the trained models of a sweep or run, the newest of each value. Raises UserError."""
    folder, models = subjects(out, target, None if "/" in target else ALL)
    found = [Measured(model.label, model.id, current(model), model.folder) for model in models]
    known = [measured for measured in found if measured.findings]
    if not known:
        raise UserError(f"{folder}: nothing was evaluated yet: {command('evaluate', target, out)}")
    return compare(known)


def current(model: Subject) -> list[Finding]:
    """What holds of the checkpoint that a model has now. Raises UserError."""
    known = read(model.folder).values()
    return newest(finding for finding in known if finding["checkpoint"] == model.digest) if known else []


def orders_of(models: list[Subject], asked: list[Evaluation], again: bool) -> tuple[list[Order], list[str]]:
    """An order for each model, and a line for each that cannot be read."""
    identities = [evaluation.identity() for evaluation in asked]
    orders, refused = [], []
    for model in models:
        try:
            orders.append(Order(model, asked, identities, again))
        except UserError as error:
            refused.extend(error.lines)
    return orders, refused


def measure(orders: list[Order], refused: list[str], data_root: str | None, shared: Path, console: Console) -> Ending:
    """Have all that is lacking measured, and tell of it as it comes. Lines are added to `refused`."""
    jobs = [job for order in orders if (job := order.job(data_root, shared))]
    by_id = {order.model.id: order for order in orders}
    failed: list[str] = []
    with progress(console, sum(len(job["evaluations"]) for job in jobs)) as step, Noted() as signal:
        try:
            for answer in answers(jobs) if jobs else ():
                if "finding" in answer:
                    by_id[answer["id"]].take(answer["finding"], answer["pictures"])
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
    """A bar on a terminal, and a line for each finding: what is yielded is called with it, or with nothing to say.

    That a model has no such number is told once, with the reason, below the table.
    """
    columns = description_column(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not (total and console.is_terminal)) as bar:
        task = bar.add_task("evaluating", total=total)

        def step(line: str) -> None:
            if bar.live.is_started and not console.is_terminal:  # it was lost
                bar.stop()
            if line:
                say(console, line)
            bar.advance(task)

        yield step


def line_of(model: str, finding: Finding) -> str:
    """A finding in one line."""
    numbers = "  ".join(f"{name} {show(value)}" for name, value in finding["values"].items())
    drawn = f"pictures {', '.join(finding['pictures'])}"
    return f"{model} {finding['metric']} ({finding['seconds']:.1f} s)  {numbers or drawn}"


@contextmanager
def recorder(folder: Path, uri: str | None, console: Console) -> Iterator[Tracker | None]:
    """The Tracker of a sweep that was recorded; None of a run that was trained alone. Raises UserError."""
    if not is_recorded(folder):
        if uri:
            raise UserError(f"{folder}: was not recorded in MLflow: leave out --tracking-uri.")
        yield None
        return
    uri = uri or recorded_store(folder)
    prepare_store(uri)
    tracker = Tracker(uri, folder.name, folder.name, folder)
    try:
        yield tracker
    finally:
        for line in tracker.close().lines(command_for("sync", folder)):
            say(console, line)


def side_by_side(orders: list[Order]) -> Comparison:
    """What was found of each model; of several seeds those of a configuration under one name."""
    return compare([Measured(of.model.label, of.model.id, list(of.found.values()), of.model.folder) for of in orders])
