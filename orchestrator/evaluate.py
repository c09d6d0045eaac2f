"""The verb `evaluate`: numbers about trained models, after the fact. Each is kept with its model and sent to MLflow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from orchestrator import locks
from orchestrator.comparison import TABLE, Comparison, Measured, compare, print_all, provenance_of
from orchestrator.errors import UserError
from orchestrator.examining import Job, answers
from orchestrator.findings import Finding, Findings, key_of
from orchestrator.launch import say
from orchestrator.ledger import refresh
from orchestrator.measures import measures
from orchestrator.mlflow_store import prepare_store
from orchestrator.results import show
from orchestrator.resuming import recorded_root
from orchestrator.stopping import Noted
from orchestrator.subjects import Subject, subjects
from orchestrator.sweep import disk_errors_told
from orchestrator.tracking import Tracker, recorded_store
from trainables.metrics.evaluations import Evaluation
from trainables.roots import Root, recorded

SHARED = ".shared"  # folder in OUT of what models share: feature networks, classifiers


class Fault(Exception):
    """A fault of ours, with the stories of the workers that met it."""


class Order:
    """What is asked of one model, and what has been found of it so far."""

    def __init__(self, model: Subject, asked: list[Evaluation], again: bool):
        self.model, self.files = model, Findings(model.folder)
        self.asked = {evaluation.name: evaluation.model_dump(mode="json") for evaluation in asked}
        self.keys = {metric: key_of(model.digest, metric, own) for metric, own in self.asked.items()}
        self.found: dict[str, Finding] = {
            metric: self.files.known[key] for metric, key in self.keys.items() if key in self.files.known and not again
        }

    def job(self, data_root: str | None, shared: Path) -> Job | None:
        """What is still to be measured, if anything. Raises UserError."""
        lacking = [own for metric, own in self.asked.items() if metric not in self.found]
        where = {"checkpoint": str(self.model.checkpoint), "data_root": data_root, "kept": str(shared)}
        return {"id": self.model.id, "run": self.model.run, "evaluations": lacking} | where if lacking else None

    def take(self, finding: Finding, pictures: dict[str, bytes]) -> None:
        """Keep a finding, unless it may be another one tomorrow. Raises OSError."""
        self.found[finding["metric"]] = finding
        if finding["lasting"]:
            self.files.keep(self.keys[finding["metric"]], finding, pictures)

    def tell(self, tracker: Tracker | None) -> None:
        """Tell MLflow of what was found; it knows what it has been told before."""
        for metric, finding in self.found.items() if tracker else ():
            key, epoch = self.keys[metric], finding["epoch"]
            known = {name: value for name, value in finding["values"].items() if value is not None}
            rests_on = provenance_of(finding).line() if known else ""
            tracker.evaluated(self.model.id, key, epoch, metric, known, rests_on)
            tracker.pictures(self.model.id, epoch, self.files.pictures(key))


@dataclass(frozen=True)
class Ending:
    """How measuring ended: what stopped it, lines for the user, and stories of faults of ours."""

    stop: KeyboardInterrupt | None
    refused: list[str]
    failed: list[str]

    def judge(self) -> KeyboardInterrupt | None:
        """What stopped it. Raises Fault and UserError."""
        if self.failed:
            raise Fault("\n".join([*self.refused, *self.failed]))
        if self.refused:
            raise UserError(*dict.fromkeys(self.refused))
        return self.stop


def evaluate(
    target: str,
    out: Path,
    metrics: str,
    settings: tuple[str, ...],
    trials: str,
    data_root: Root,
    uri: str | None,
    form: str,
    again: bool = False,
) -> KeyboardInterrupt | None:
    """Measure trained models of the sweep or run `target` and print their numbers side by side.

    With `again` also what is known. What stopped it, if anything did. Raises UserError, TrackingError, and Fault; what
    was found by then is kept.
    """
    asked = measures(metrics, settings)
    folder, models = subjects(out, target, trials)
    console = Console(stderr=form != TABLE)
    with disk_errors_told(folder, "Free room, then try again."), locks.driver(folder):
        orders = [Order(model, asked, again) for model in models]
        root = data_root or recorded_root(folder)
        with recorder(folder, uri, console) as tracker:
            ending = measure(orders, recorded(root), folder.parent / SHARED, console)
            for order in orders:
                order.tell(tracker)
        refresh(folder)
    print_all(side_by_side(orders), form, console)
    return ending.judge()


def measure(orders: list[Order], data_root: str | None, shared: Path, console: Console) -> Ending:
    """Have all that is lacking measured, and tell of it as it comes."""
    jobs = [job for order in orders if (job := order.job(data_root, shared))]
    by_id = {order.model.id: order for order in orders}
    refused, failed = [], []
    with progress(console, sum(len(job["evaluations"]) for job in jobs)) as step, Noted() as signal:
        try:
            for answer in answers(jobs) if jobs else ():
                if "finding" in answer:
                    by_id[answer["id"]].take(answer["finding"], answer["pictures"])
                    step(line_of(answer["id"], answer["finding"]))
                refused += [answer["refused"]] if "refused" in answer else []
                failed += [f"{answer['id']}: {answer['failed']}"] if "failed" in answer else []
                signal.check()
        except KeyboardInterrupt as stop:
            say(console, "Interrupted. The same command goes on from here.")
            return Ending(stop, refused, failed)
    return Ending(None, refused, failed)


@contextmanager
def progress(console: Console, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, and a line for each finding: what is yielded is called with it."""
    columns = TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not (total and console.is_terminal)) as bar:
        task = bar.add_task("", total=total)

        def step(line: str) -> None:
            say(console, line)
            bar.advance(task)

        yield step


def line_of(model: str, finding: Finding) -> str:
    """A finding in one line."""
    numbers = "  ".join(f"{name} {show(value)}" for name, value in finding["values"].items())
    drawn = f"pictures {', '.join(finding['pictures'])}"
    return f"{model} {finding['metric']} ({finding['seconds']:.1f} s)  {numbers or finding['undefined'] or drawn}"


@contextmanager
def recorder(folder: Path, uri: str | None, console: Console) -> Iterator[Tracker | None]:
    """The Tracker of a sweep that was recorded; None of a run that was trained alone. Raises TrackingError."""
    uri = uri or recorded_store(folder)
    if uri is None:
        yield None
        return
    prepare_store(uri)
    tracker = Tracker(uri, folder.name, folder.name, folder)
    try:
        yield tracker
    finally:
        if unsent := tracker.close():
            sync = f"vaeorch sync {folder.name} --out {folder.parent}"
            say(console, f"unsent       {unsent} events: MLflow does not answer. Send them: {sync}")


def side_by_side(orders: list[Order]) -> Comparison:
    """What was found of each model; of several seeds those of a configuration under one name."""
    return compare([Measured(order.model.label, order.model.id, list(order.found.values())) for order in orders])
