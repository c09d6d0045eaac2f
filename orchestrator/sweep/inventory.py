"""What lies in OUT: each sweep and run in a few facts, read without a lock, whatever state its folder is in.

`commands/listing.py` shows it.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.space.plan import Plan
from orchestrator.space.trials import Trial
from orchestrator.spec.records import SweepSpec
from orchestrator.storage import layout, locks
from orchestrator.storage.journal import OF_AN_EPOCH, events_of, parsed
from orchestrator.storage.json_files import read_object
from orchestrator.sweep.extension import extended_plan
from orchestrator.sweep.folder import recorded_spec
from orchestrator.sweep.ranking import UNSOUND, best_summary
from orchestrator.sweep.results import read_results
from orchestrator.sweep.single_run import results_of
from orchestrator.tracking.spool import PARENT

SWEEP, RUN = "sweep", "run"
RUNNING, EVALUATING, IN_USE = "running", "evaluating", "in use"
FINISHED, FAILED, DIVERGED, INTERRUPTED = "finished", "failed", "diverged", "interrupted"
ON_A_CLUSTER, DAMAGED, HALF_REMOVED = "on a cluster", "damaged", "half removed"
OF_A_HOLDER = {locks.EVALUATES: EVALUATING, locks.WORKS: IN_USE}  # any other holder trains

SWEEPS_FILES = (layout.SPEC, layout.JOURNAL, layout.RESULTS, layout.TRIALS)
RUNS_FILES = (layout.CONFIG, layout.ORIGIN, layout.METRICS, *layout.WEIGHTS)


@dataclass(frozen=True)
class Entry:
    """A sweep or run of OUT, or what is left of one."""

    name: str
    kind: str
    """SWEEP or RUN."""
    state: str
    done: int = 0
    """Trials that have ended; of a run epochs."""
    of: int | None = None
    """How many there will be; None: it is not known."""
    metric: str | None = None
    """The objective."""
    best: float | None = None
    """Its best value; of several seeds the best mean."""
    begun: float | None = None
    """When it began, in unix seconds."""
    bytes: int = 0
    """On the disk."""
    note: str = ""
    """What is damaged, and the cure."""


@dataclass
class Progress:
    """What the journal of a sweep tells of it so far."""

    metric: str | None
    """The objective whose values are collected; None: none are."""
    trials: list[dict[str, Any]] = field(default_factory=list)
    """Those that were known when it began."""
    ended: dict[str, str] = field(default_factory=dict)
    """Trial -> its status, of those that have ended."""
    values: dict[str, list[float]] = field(default_factory=dict)
    """Trial -> its objective after each epoch."""
    finished: bool = False
    """Whether it has come to its end, and was not extended since."""
    changes: list[dict[str, Any]] = field(default_factory=list)
    """The events that say how many trials it has: by which it was extended, or its best are confirmed."""

    def take(self, event: dict[str, Any]) -> None:
        """Add what an event of the journal tells. Raises LookupError, TypeError, AttributeError."""
        match event["event"]:
            case "sweep":
                self.trials = event.get("trials") or []
            case "epoch":
                self._add(event["trial"], [*event.get("earlier", []), event["metrics"]])
            case "reused":
                self.ended[event["trial"]] = "completed"
                self._add(event["trial"], event["epochs"])
            case "ended":
                self.ended[event["trial"]] = event["status"]
            case "finished":
                self.finished = True
            case "confirming":
                self.changes.append(event)
            case "extended":
                self.changes.append(event)
                self.finished = False
                for trial in event["longer"]:
                    self.ended.pop(trial, None)

    def plan(self, spec: SweepSpec) -> Plan:
        """All trials that the sweep with this spec is to have by now."""
        trials = [Trial(**trial) for trial in self.trials]
        return extended_plan(Plan(spec, trials) if trials else Plan.of(spec), self.changes)

    def best(self, sign: float) -> float | None:
        """The best value of all trials that neither diverged nor failed; None if there is no finite one."""
        sound = [values for trial, values in self.values.items() if self.ended.get(trial) not in UNSOUND]
        finite = [value for values in sound for value in values if math.isfinite(value)]
        return max(finite, key=lambda value: sign * value) if finite else None

    def _add(self, trial: str, epochs: list[dict[str, float]]) -> None:
        if self.metric:
            self.values.setdefault(trial, []).extend(metrics.get(self.metric, math.nan) for metrics in epochs)


def inventory(out: Path) -> list[Entry]:
    """All sweeps and runs in `out`, the newest first. A damaged one is among them, and says so. Raises UserError."""
    try:
        names = sorted(path.name for path in out.iterdir() if path.is_dir()) if out.exists() else []
        sent = [path.stem for path in sorted((out / layout.SENT).glob("*.json")) if path.stem not in names]
        left = sorted(path.name for path in (out / layout.REMOVED).iterdir()) if (out / layout.REMOVED).is_dir() else []
    except OSError as error:
        raise UserError(f"{out}: cannot be read: {error.strerror}. Name another folder by --out.") from None
    found = [entry_of(out / name) for name in names if name.casefold() not in layout.TAKEN]
    entries = [entry for entry in found if entry]
    entries += [Entry(name, SWEEP, ON_A_CLUSTER) for name in sent]
    entries += [Entry(name, SWEEP, HALF_REMOVED, bytes=size_of(out / layout.REMOVED / name)) for name in left]
    return sorted(entries, key=lambda entry: -(entry.begun or 0.0))


def names_in(out: Path) -> list[str]:
    """The names of all sweeps and runs in `out`: of folders that have one of their files. None if it has no folder."""
    with suppress(OSError):
        folders = [path for path in out.iterdir() if path.name.casefold() not in layout.TAKEN]
        return sorted(path.name for path in folders if kind_of(path))
    return []


def kind_of(folder: Path) -> str | None:
    """SWEEP, RUN, or None for a folder that has no file of either."""
    if any((folder / name).exists() for name in SWEEPS_FILES):
        return SWEEP
    return RUN if any((folder / name).exists() for name in RUNS_FILES) else None


def entry_of(folder: Path) -> Entry | None:
    """What the sweep or run in `folder` is; None if there is none."""
    known = {"name": folder.name, "kind": SWEEP}
    try:
        kind = kind_of(folder)
        if kind is None:
            return None
        known |= {"kind": kind, "begun": begun(folder), "bytes": size_of(folder)}
        return Entry(**known, **(_of_sweep(folder) if kind == SWEEP else _of_run(folder)))
    except UserError as error:
        note = error.lines[0]
    except OSError as error:
        note = f"{error.filename or folder}: cannot be read: {error.strerror}"
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # JSON or YAML of another form
        note = f"{folder}: its files are damaged ({error!r})"
    return Entry(**known, state=state_of(folder, DAMAGED), note=note)


def state_of(folder: Path, at_rest: str) -> str:
    """The state of a sweep or run: what the process does that works on it; without one, that in which it is left."""
    if holder := locks.holder(folder):
        return OF_A_HOLDER.get(holder.work, RUNNING)
    sent = layout.sent_file(folder.parent, folder.name).is_file()
    return ON_A_CLUSTER if sent and at_rest == INTERRUPTED else at_rest


def _of_sweep(folder: Path) -> dict[str, Any]:
    spec = recorded_spec(folder)
    metric, sign = spec.objective.metric, {"max": 1.0, "min": -1.0}[spec.objective.mode]
    results = read_results(folder.parent, folder.name) if (folder / layout.RESULTS).is_file() else None
    if results is None or locks.holder(folder):  # then the journal knows more
        known = progress(folder, metric)
        best = known.best(sign)
    else:
        known, best = progress(folder), best_summary(results)[0].get(metric)
    over = known.finished or (results is not None and not (folder / layout.JOURNAL).is_file())
    at_rest = (FINISHED if best is not None else FAILED) if over else INTERRUPTED
    done = len(known.ended) or (len(results["trials"]) if over and results else 0)
    of = len(known.plan(spec))
    return {"state": state_of(folder, at_rest), "done": done, "of": of, "metric": metric, "best": best}


def _of_run(folder: Path) -> dict[str, Any]:
    if not (folder / layout.CONFIG).is_file() and not (folder / layout.METRICS).is_file():  # it has only just begun
        return {"state": state_of(folder, INTERRUPTED)}
    results = results_of(folder)
    [entry], metric = results["trials"], results["objective"]["metric"]
    states = {"completed": FINISHED, "diverged": DIVERGED}
    return {
        "state": state_of(folder, states.get(entry["status"], INTERRUPTED)),
        "done": entry["epochs"],
        "of": read_object(folder / layout.CONFIG, "Train it again.")["run"]["epochs"],
        "metric": metric,
        "best": entry["best"].get(metric),
    }


def progress(folder: Path, metric: str | None = None) -> Progress:
    """What the journal of the sweep in `folder` tells; the values of `metric`, if one is given.

    Its last line may be half written. Raises UserError for another one that is damaged.
    """
    file, known = folder / layout.JOURNAL, Progress(metric)
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            if line.startswith(OF_AN_EPOCH) and not metric:
                continue
            events = events_of(folder, line)
            if not events and number < len(lines):
                raise ValueError
            for event in events:
                known.take(event)
        except (LookupError, TypeError, AttributeError, ValueError):
            raise UserError(f"{file}:{number}: is damaged. The lines above it are sound: cut it off there.") from None
    return known


def begun(folder: Path) -> float | None:
    """When a sweep or run began, in unix seconds: what its first event says, else the time of its first file."""
    first = folder / layout.SPOOL / f"{PARENT}.jsonl"
    with suppress(OSError, StopIteration, LookupError, TypeError), first.open("rb") as lines:
        return parsed(next(lines))["time"] / 1000
    for name in (layout.SPEC, layout.ORIGIN, layout.CONFIG):
        with suppress(OSError):
            return (folder / name).stat().st_mtime
    return None


def size_of(folder: Path) -> int:
    """The bytes that a folder takes on the disk."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # it was replaced just now
                yield 512 * os.lstat(os.path.join(place, name)).st_blocks
