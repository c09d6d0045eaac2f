"""A run that is trained alone: logs it to MLflow while it trains, and gives its results the form of a sweep's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.shell import command_for
from orchestrator.storage import layout
from orchestrator.storage.last_epoch import is_over
from orchestrator.storage.metric_lines import from_json, metrics_of
from orchestrator.sweep.results_file import ResultsFile, known_numbers
from orchestrator.tracking.spool import PARENT, parsed
from orchestrator.tracking.tracker import HASTE_S, Tracker

USUAL = {"metric": "val/elbo", "mode": "max"}  # objective of runs of earlier versions, which did not record it


def is_single(folder: Path) -> bool:
    """Whether a run was trained alone in `folder`."""
    return (folder / layout.CONFIG).is_file()


def home_of(folder: Path, trial: str) -> Path:
    """The folder of a trial of the sweep in `folder`, or of the run there, which is its only one."""
    return folder if is_single(folder) else layout.trial_folder(folder, trial)


def results_of(folder: Path) -> dict[str, Any]:
    """The results of the run in `folder`, as in a sweep's results.json. Raises UserError for damaged files."""
    try:
        config = json.loads((folder / layout.CONFIG).read_text(encoding="utf-8"))
        kept = folder / layout.METRICS  # there is none of a run that diverged in its first epoch
        text = kept.read_text(encoding="utf-8") if kept.exists() else ""
        lines = [from_json(line) for line in text.splitlines()]
        results_file = _ledger(folder, config)
        for line in lines:
            results_file.add(folder.name, line["epoch"], metrics_of(line))
        results_file.end(folder.name, *_ending(folder, is_over(config, lines)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{folder}: config.json or metrics.jsonl is damaged ({error}). Train it again.") from None
    return results_file.results()


class RunReporter:
    """Context manager that logs a run that is trained alone to MLflow: each epoch once, and at the end how it ended.

    `open_tracker` is called at the first result. Afterwards `lines` are what to print for the user.
    """

    def __init__(self, open_tracker: Callable[[], Tracker], folder: Path):
        self.open_tracker, self.folder = open_tracker, folder
        self.tracker: Tracker | None = None
        self.told, self.diverged = 0, None
        self.lines: list[str] = []

    def __enter__(self) -> "RunReporter":
        return self

    def report(self, result: dict[str, Any], known: list[dict]) -> None:
        """Log the run's new result; `known` are all lines of its metrics.jsonl. Raises OSError."""
        self.tracker = self.tracker or self.open_tracker()
        self.diverged = result["diverged"]
        for line in known[self.told :]:
            self.tracker.epoch(PARENT, line["epoch"], metrics_of(line))
            if paths := sorted(layout.pictures_folder(self.folder, line["epoch"]).glob("*.png")):
                self.tracker.pictures(PARENT, line["epoch"], paths)
        self.told = len(known)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if self.tracker is None:
            return
        stopped = isinstance(error, KeyboardInterrupt)
        status = "aborted" if stopped else "diverged" if self.diverged else "failed" if error else "completed"
        reason = self.diverged or (str(error) if error and not stopped else "")
        [entry] = results_of(self.folder)["trials"]
        self.tracker.sweep_ended(status, known_numbers(entry["best"]), {"stop_reason": reason})
        left = self.tracker.close(*([HASTE_S, HASTE_S] if error else []))
        self.lines = left.lines(command_for("sync", self.folder))


def _ledger(folder: Path, config: dict[str, Any]) -> ResultsFile:
    trial = {"configuration": 1, "config": config["config"], "seed": config["seed"], "stage": "search"}
    objective = config.get("objective") or USUAL
    results_file = ResultsFile(folder, folder.name, objective, {folder.name: trial | {"folder": str(folder)}})
    results_file.begin(folder.name)
    return results_file


def _ending(folder: Path, whole: bool) -> tuple[str, str | None]:
    """The status of the run, and why."""
    if whole:
        return "completed", None
    file = folder / layout.SPOOL / f"{PARENT}.jsonl"
    events = [parsed(line) or {} for line in file.read_bytes().splitlines()] if file.exists() else []
    last = next((event for event in events[::-1] if event.get("kind") in ("started", "ended")), {})
    if last.get("status") == "diverged":
        return "diverged", last["tags"].get("stop_reason")
    return "stopped", "interrupted"
