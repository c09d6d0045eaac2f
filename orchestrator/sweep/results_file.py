"""results.json: what became of each trial. Only this module writes the file; `results.py` and others read it.

To write it takes as long as there are trials, so while a sweep runs it is written at some of their ends only. The
journal has each end: `up_to_date` adds to the content of the file those that came later.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.space.trials import trial_name
from orchestrator.storage import layout
from orchestrator.storage.blobs import exists
from orchestrator.storage.evaluations_file import with_findings
from orchestrator.storage.journal import OF_AN_EPOCH, events_of
from orchestrator.storage.json_files import finite_or_null, write_whole
from orchestrator.sweep.budget import UNLIMITED, BudgetMeter
from orchestrator.sweep.ranking import configurations, replicated

PLACED = ("configuration", "config", "seed", "stage")  # of a trial's config, in results.json
INTERRUPTED = "interrupted"  # the reason of a trial that is `stopped` because the sweep was
EVENTS = "events"  # in results.json: how many events of the journal it contains
NOT_OF_A_DECISION = ("event", "shape", "answer")  # what only the journal has of whether trials are trained together
ENDS = ("ended", "reused")  # the events with which a trial has ended
SHARE = 0.05  # of the trials that have ended: after so many further ends results.json is written again


class ResultsFile:
    """Collects the epochs and ends of all trials, and writes them to results.json.

    Args:
        folder: of the sweep.
        name: of the sweep.
        objective: {"metric", "mode"}.
        trials: id -> {"configuration", "config", "seed", "stage", "folder"}, in the order of results.json.
        budget: of the sweep.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        objective: dict[str, str],
        trials: dict[str, dict],
        budget: BudgetMeter = UNLIMITED,
    ):
        self.folder, self.name, self.objective, self.trials, self.budget = folder, name, objective, trials, budget
        self.sign = {"max": 1.0, "min": -1.0}[objective["mode"]]
        self.entries: dict[str, dict] = {}  # of results.json, for the trials that began
        self.scores: dict[str, float] = {}  # sign * best objective so far
        self.made_with: list[dict] = []  # code, packages and device of each process that trained, where they changed
        self.stacking: list[dict] = []  # which kinds of trials are trained together, and what was measured of it
        self.data: dict | None = None  # the fingerprint of the data files
        self.events = 0  # of the journal that are contained; none of a run that is trained alone
        self.written, self.unwritten = 0, 0  # trials that had ended when results.json was written; ends since then

    def begin(self, trial: str) -> bool:
        """The trial has a slot. False if it had one before."""
        if trial in self.entries:
            return False
        of = self.trials[trial]
        known = {"id": trial} | {key: of[key] for key in (*PLACED, "added_epochs") if key in of}
        open_ = {"status": None, "epochs": 0, "last": {}, "best": {}, "checkpoint": None, "reason": None}
        self.entries[trial] = known | open_ | {"retries": 0}
        self.scores[trial] = -math.inf
        return True

    def add(self, trial: str, epoch: int, metrics: dict[str, float]) -> bool:
        """The trial has finished an epoch. False if that was known: a resumed trial repeats its last epoch."""
        entry = self.entries[trial]
        if epoch <= entry["epochs"]:
            return False
        entry |= {"epochs": epoch, "last": finite_or_null(metrics)}
        score = self.sign * metrics[self.objective["metric"]]
        if math.isfinite(score) and score > self.scores[trial]:
            self.scores[trial] = score
            entry["best"] = {"epoch": epoch} | finite_or_null(metrics)
        return True

    def retry(self, trial: str) -> None:
        """The trial failed and is tried again."""
        self.entries[trial]["retries"] += 1

    def end(self, trial: str, status: str, reason: str | None) -> dict[str, Any]:
        """The trial has ended. Returns its entry."""
        folder = Path(self.trials[trial]["folder"])
        kept = next((file for file in (folder / layout.BEST, folder / layout.CHECKPOINT) if exists(file)), None)
        self.entries[trial] |= {"status": status, "reason": reason, "checkpoint": kept and str(kept)}
        return self.entries[trial]

    def reopen(self, trial: str) -> None:
        """The trial goes on after its end: the sweep was extended."""
        self.entries[trial] |= {"status": None, "reason": None}

    def lengthen(self, trial: str, run: dict[str, Any], last_epoch: int) -> None:
        """The trial goes on to a later last epoch than it had; `run` is the Run that it is from now on."""
        of = self.trials[trial]
        added = {"added_epochs": of.get("added_epochs", 0) + last_epoch - of["last_epoch"]}
        self.trials[trial] = of | {"run": run, "last_epoch": last_epoch, "first_run": first_run(of)} | added
        if trial in self.entries:
            self.entries[trial] |= added

    def interrupt(self) -> list[dict]:
        """The sweep is over: the trials that have not ended are `stopped`. Returns their entries."""
        unfinished = [trial for trial, entry in self.entries.items() if entry["status"] is None]
        return [self.end(trial, "stopped", INTERRUPTED) for trial in unfinished]

    def results(self) -> dict[str, Any]:
        """The content of results.json: the trials that have ended, in order; of several seeds also their means."""
        ended = [
            with_findings(self.entries[trial], Path(of["folder"]))
            for trial, of in self.trials.items()
            if self.entries.get(trial, {}).get("status")
        ]
        results = {"name": self.name, "objective": self.objective, "made_with": self._made_with()}
        results |= {"data": self.data} if self.data else {}
        results |= {"stacking": self.stacking} if self.stacking else {}
        if self.budget.limits:
            results["budget"] = self._budget()
        return _with_trials(results, ended)

    def _budget(self) -> dict[str, Any]:
        return self.budget.statement() | {"used_up": self.budget.empty is not None}

    def _made_with(self) -> dict | None:
        """What all trials were made with; None if that changed between them."""
        return self.made_with[0] if len(self.made_with) == 1 else None

    def write_if_due(self) -> None:
        """A trial has ended: write results.json if enough have since it was written. Raises OSError.

        All these writes together take as long as to write a constant number of lines for each trial. The first end in
        a process is always due.
        """
        self.unwritten += 1
        if self.unwritten > SHARE * self.written:
            self.write()

    def write(self) -> None:
        """Write results.json. Raises OSError."""
        results = self.results()
        _write(self.folder, results | ({EVENTS: self.events} if self.events else {}))
        self.written, self.unwritten = len(results["trials"]), 0

    def outcome(self, trial: str) -> dict[str, Any]:
        """What the journal keeps of a trial's end, so that `up_to_date` needs no more: no path, as folders move."""
        entry = self.entries[trial]
        budget = {"budget": self._budget()} if self.budget.limits else {}
        return {"entry": entry | {"checkpoint": entry["checkpoint"] and Path(entry["checkpoint"]).name}} | budget


def first_run(trial: dict[str, Any]) -> dict[str, Any]:
    """The Run that the search found for a trial, in plain values; it may have been lengthened since."""
    return trial.get("first_run", trial["run"])


def before_any(folder: Path, objective: dict[str, str]) -> dict[str, Any]:
    """The content of results.json of the sweep in `folder` before any trial has ended."""
    with (folder / layout.JOURNAL).open("rb") as journal:
        first = next(iter(events_of(folder, journal.readline())), {})
    data = {"data": first["data"]} if first.get("data") else {}
    known = {"name": folder.name, "objective": objective, "made_with": first.get("made_with")}
    return known | data | {EVENTS: 1, "trials": []}


def up_to_date(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """The content of results.json as it would be if it had been written at the last end of a trial in the journal.

    `results` is what the file of the sweep in `folder` contains. The journal may be growing meanwhile, or be lost.
    """
    later = list(_later(folder, results.get(EVENTS)))
    last = max((place for place, (_, event) in enumerate(later) if "outcome" in event), default=None)
    if last is None:
        return results
    trials = {trial["id"]: trial for trial in results["trials"] if trial.get("reason") != INTERRUPTED}
    known = {key: value for key, value in results.items() if key != "configurations"}
    for number, event in later[: last + 1]:
        known |= {EVENTS: number} | _take(event, trials, known, folder)
    return _with_trials(known, sorted(trials.values(), key=lambda trial: int(trial["id"])))


def _take(event: dict[str, Any], trials: dict[str, dict], known: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Apply an event to the trials that have ended; what else it changes in results.json (`known`) is returned."""
    kind, outcome = event["event"], event.get("outcome")
    for trial in event.get("reopened", ()):
        trials.pop(trial, None)
    if kind in ("promoted", "closing") and event.get("answer") is not None:
        trials.pop(trial_name(event["answer"]), None)  # one that had ended, in a sweep that was extended
    if outcome:
        entry, home = outcome["entry"], layout.trial_folder(folder, event["trial"])
        kept = entry["checkpoint"] and str(home / entry["checkpoint"])
        trials[event["trial"]] = with_findings(entry | {"checkpoint": kept}, home)
    changes = {"data": event["data"]} if event.get("data") else {}
    changes |= {"budget": outcome["budget"]} if outcome and "budget" in outcome else {}
    if kind == "stacking":
        changes["stacking"] = [*known.get("stacking", ()), decision_of(event)]
    made_with = known["made_with"]
    return changes | ({"made_with": None} if event.get("made_with", made_with) != made_with else {})


def decision_of(event: dict[str, Any]) -> dict[str, Any]:
    """What results.json has of the journal's event that decides whether trials of a kind are trained together."""
    return {key: value for key, value in event.items() if key not in NOT_OF_A_DECISION}


def _later(folder: Path, known: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The events of the journal after the first `known`, each with its number; epochs are left out.

    None are later than results.json of an earlier version, which was written at each end.
    """
    if not isinstance(known, int) or not (folder / layout.JOURNAL).is_file():
        return
    with (folder / layout.JOURNAL).open("rb") as journal:
        for number, line in enumerate(journal, start=1):
            if number > known and not line.startswith(OF_AN_EPOCH):
                yield from ((number, event) for event in events_of(folder, line))


def _with_trials(results: dict[str, Any], ended: list[dict[str, Any]]) -> dict[str, Any]:
    """results.json with these trials and, if there are several of a configuration, their means."""
    results = results | {"trials": ended}
    return results | ({"configurations": configurations(results)} if replicated(results) else {})


def refresh(folder: Path) -> None:
    """Add evaluations that were made after a sweep's end to its results.json. Does nothing for a single run."""
    if (folder / layout.RESULTS).exists():
        results = up_to_date(folder, json.loads((folder / layout.RESULTS).read_text(encoding="utf-8")))
        trials = [with_findings(trial, folder / layout.TRIALS / trial["id"]) for trial in results["trials"]]
        _write(folder, results | {"trials": trials})


def rename(folder: Path, name: str) -> None:
    """Give the sweep in `folder` another name in its results.json, if it has one. Raises OSError and ValueError."""
    if (folder / layout.RESULTS).exists():
        _write(folder, json.loads((folder / layout.RESULTS).read_text(encoding="utf-8")) | {"name": name})


def _write(folder: Path, results: dict[str, Any]) -> None:
    """Write results.json with a line for each trial: an indented one takes ten times as long."""
    facts = (f"{json.dumps(key)}: {_text(value)}" for key, value in results.items())
    write_whole(folder / layout.RESULTS, "{\n" + ",\n".join(facts) + "\n}\n")


def _text(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value, allow_nan=False)
    return "[\n" + ",\n".join(json.dumps(one, allow_nan=False) for one in value) + "\n]"


def known_numbers(metrics: dict[str, float | None]) -> dict[str, float]:
    """The metrics that have a finite value."""
    return {key: value for key, value in metrics.items() if value is not None}
