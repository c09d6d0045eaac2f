"""What the page shows of a sweep or run, as plain data read from its folder. It changes nothing and needs no lock."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.spec.yaml_file import read_yaml
from orchestrator.storage import layout
from orchestrator.storage.journal import events_of
from orchestrator.storage.json_files import read_object
from orchestrator.storage.metric_lines import COUNTS, from_json
from orchestrator.sweep.ranking import RANKED, best_value, ranked
from orchestrator.sweep.results import read_results
from orchestrator.sweep.single_run import home_of, is_single
from orchestrator.text import cut, label_of

COLORED = 5  # of the best trials have a colour of their own
NOT_ENDED = "not ended"  # the status of a trial that runs, waits at a rung, or was interrupted by a kill
LONGEST_TITLE = 160  # characters
HOUR_S = 3600.0

Line = dict[str, float]
"""A line of metrics.jsonl."""


@dataclass(frozen=True)
class TrialData:
    """One trial: its entry of results.json, and the epochs that it has trained."""

    entry: dict[str, Any]
    """As in results.json; of a trial that has not ended, what is known of it."""
    folder: Path
    lines: list[Line]
    """Of its metrics.jsonl, one per epoch; empty where that is lost."""

    @property
    def id(self) -> str:
        return self.entry["id"]

    @property
    def title(self) -> str:
        """Its id and what varies, in a line."""
        return cut(label_of(self.entry, averaged=False), LONGEST_TITLE)

    @property
    def config(self) -> dict[str, Any]:
        """What varies: path -> value."""
        return self.entry["config"]

    @property
    def hours(self) -> float:
        """Hours that it trained; NaN where that is not known."""
        seconds = [line["seconds"] for line in self.lines if "seconds" in line]
        return sum(seconds) / HOUR_S if seconds else math.nan

    def curve(self, metric: str) -> list[tuple[int, float]]:
        """Epoch and value of a metric, for each epoch that has it; the value may be NaN."""
        return [(line["epoch"], line[metric]) for line in self.lines if metric in line]


@dataclass(frozen=True)
class SweepData:
    """A sweep, or a run that was trained alone."""

    folder: Path
    results: dict[str, Any]
    """The content of results.json: the trials that have ended."""
    spec: dict[str, Any]
    """As resolved, in plain values; of a run that was trained alone it holds the `run` only."""
    events: list[dict[str, Any]]
    """Of the journal."""
    trials: list[TrialData]
    """The best first, as in the leaderboard; those that have not ended come last."""

    @property
    def metric(self) -> str:
        """The objective."""
        return self.results["objective"]["metric"]

    @property
    def sign(self) -> float:
        """1 where higher objectives are better, else -1."""
        return {"max": 1.0, "min": -1.0}[self.results["objective"]["mode"]]

    @cached_property
    def colors(self) -> dict[str, str]:
        """The CSS classes of the best trials, by id."""
        best = [trial.id for trial in self.trials if self.counts(trial)]
        return {id: f"c{place}" for place, id in enumerate(best[:COLORED])}

    @cached_property
    def paths(self) -> list[str]:
        """What varies between the trials, in the order of the search."""
        return list(dict.fromkeys(path for trial in self.trials for path in trial.config))

    def value(self, trial: TrialData) -> float:
        """The best objective of a trial; NaN if it had none that was finite."""
        return best_value(trial.entry, self.metric)

    def counts(self, trial: TrialData) -> bool:
        """Whether a trial is ranked by its objective: it has one, and neither diverged nor failed."""
        return trial.entry["status"] in (*RANKED, NOT_ENDED) and math.isfinite(self.value(trial))

    @property
    def unfinished(self) -> list[TrialData]:
        """The trials that began and have not ended."""
        return [trial for trial in self.trials if trial.entry["status"] == NOT_ENDED]


def read_sweep(folder: Path) -> SweepData:
    """Read the sweep or run in `folder`, which may be running. Raises UserError."""
    folder, events, spec = folder.resolve(), list(_events(folder)), _spec(folder)
    results = read_results(folder.parent, folder.name)
    entries = [*ranked(results), *_open_trials(folder, events, results)]
    return SweepData(folder, results, spec, events, _trials(folder, entries))


def read_best(folder: Path, most: int) -> SweepData:
    """The best trials that have ended, at most so many, without the spec and the journal's events. Raises UserError."""
    folder = folder.resolve()
    results = read_results(folder.parent, folder.name)
    return SweepData(folder, results, {}, [], _trials(folder, ranked(results)[:most]))


def _trials(folder: Path, entries: list[dict[str, Any]]) -> list[TrialData]:
    homes = [home_of(folder, entry["id"]) for entry in entries]
    return [TrialData(entry, home, _lines(home)) for entry, home in zip(entries, homes, strict=True)]


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    """The events of a journal, or of a run that was trained alone. A line that is half written or damaged is none."""
    try:
        if is_single(folder):
            yield from json.loads((folder / layout.ORIGIN).read_bytes())
        else:
            for line in (folder / layout.JOURNAL).read_bytes().splitlines(keepends=True):
                yield from events_of(folder, line)
    except (OSError, ValueError):  # an earlier version wrote none
        return


def _spec(folder: Path) -> dict[str, Any]:
    """The spec in plain values. Raises UserError for a damaged one; it is empty where there is none."""
    if is_single(folder):
        return {"run": read_object(folder / layout.CONFIG, "Train the run again.").get("run")}
    file = folder / layout.SPEC
    return read_yaml(file).values if file.is_file() else {}


def _open_trials(folder: Path, events: list[dict], results: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Entries, as in results.json, of the trials that began and are not in there."""
    known = {trial["id"] for trial in results["trials"]}
    announced = {f"{trial['number']:04d}": trial for event in events for trial in event.get("trials") or ()}
    begun = dict.fromkeys(event["trial"] for event in events if event["event"] in ("began", "reused"))
    for id in (id for id in begun if id not in known):
        home = layout.trial_folder(folder, id)
        written = announced.get(id) or _config(home)
        entry = {"id": id, "config": written.get("config", {}), "seed": written.get("seed"), "status": NOT_ENDED}
        entry |= {key: written[key] for key in ("configuration", "stage") if key in written}
        lines = _lines(home)
        best = _best(lines, results["objective"])
        yield entry | {"reason": None, "epochs": len(lines), "best": best, "last": lines[-1] if lines else {}}


def _config(home: Path) -> dict[str, Any]:
    try:
        return read_object(home / layout.CONFIG, "")
    except UserError:  # it has only just begun
        return {}


def _best(lines: list[Line], objective: dict[str, str]) -> Line:
    sign = {"max": 1.0, "min": -1.0}[objective["mode"]]
    scores = [(sign * line[objective["metric"]], line) for line in lines if objective["metric"] in line]
    finite = [(score, line) for score, line in scores if math.isfinite(score)]
    return max(finite, key=lambda pair: pair[0])[1] if finite else {}


def _lines(home: Path) -> list[Line]:
    """The lines of metrics.jsonl that can be read: the last may be half written."""
    try:
        texts = (home / layout.METRICS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for text in texts:
        try:
            line = from_json(text)
        except (ValueError, AttributeError):
            continue
        if isinstance(line.get("epoch"), int) and all(isinstance(value, int | float) for value in line.values()):
            found.append(line)
    return found


def metrics_in(sweep: SweepData) -> list[str]:
    """The metrics that epochs have, the objective first, then by name."""
    names = {name for trial in sweep.trials for line in trial.lines for name in line} - {*COUNTS, sweep.metric}
    return [sweep.metric, *sorted(names, key=lambda name: (not name.startswith("val/"), name))]
