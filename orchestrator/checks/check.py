"""Checks every value that a sweep could take, by building its Run before anything starts: a typo costs a second."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import ValidationError

from orchestrator.checks.reading import facts_of
from orchestrator.space.assembly import Candidate
from orchestrator.space.entries import mistakes, value_at
from orchestrator.space.probing import idle, probing
from orchestrator.spec.diagnostics import (
    SENTENCES,
    Finding,
    KeyPath,
    Problem,
    cure,
    findings,
    read_path,
    show_path,
    show_value,
)
from orchestrator.spec.domains import Search, paths_of
from orchestrator.spec.yaml_file import Document
from trainables.common.errors import DataError
from trainables.data import Dataset, Facts
from trainables.data.access import DataAccess, NotHere
from trainables.metrics import metric_names
from trainables.run import Run

WHOLE = {
    "uniform": "Write {{randint: [{0:.0f}, {1:.0f}]}}.",
    "loguniform": "Write {{randint: [{0:.0f}, {1:.0f}]}}, or some such values as {{choice: [{0:.0f}, {1:.0f}]}}.",
    "quniform": "Make low, high and step whole numbers.",
    "normal": "Write a randint, or a choice.",
}
"""Domains that draw numbers which need not be whole -> what to write in their place."""


class Checker:
    """Collects what is wrong with the candidates of one document, each problem once.

    `metric` is the objective's, None where the document has no valid one; `data` are the data sets.
    """

    def __init__(self, document: Document, metric: str | None, data: DataAccess):
        self.document = document
        self.metric = metric
        self.facts = cache(lambda dataset: _facts(dataset, data))
        self.told: dict[tuple[KeyPath, str], Problem] = {}
        self.unknown: set[str] = set()  # keys of the search that no run has, whatever values the other keys take

    @property
    def problems(self) -> list[Problem]:
        return list(self.told.values())

    def check_search(self, base: dict[str, Any], search: Search) -> None:
        """Check the run without its search, the search itself, then the run with each probe of each domain in it."""
        self._check(Candidate(base, {}, {}, {}))
        wrong = list(mistakes(search))
        unsound = {path[1] for path, _ in wrong}
        sound = {key: domain for key, domain in search.items() if key not in unsound}
        for path, text in wrong or idle(base, search):
            self._report(path, text)
        for key, candidate in probing(base, sound, self.unknown):
            above = tuple(f"{path}." for path in paths_of(key))
            varied = {path: value for path, value in candidate.config.items() if f"{path}.".startswith(above)}
            self._check(candidate, f"With {_listed(varied)}.", shown=("search", key))

    def check_trials(self, candidates: list[Candidate]) -> None:
        """Check drawn combinations up to the first that cannot run: others would most likely fail alike."""
        for number, candidate in enumerate(candidates, start=1):
            if self.told:
                return
            self._check(candidate, f"So it is in trial {number}: {_listed(candidate.config)}.")

    def allows(self, candidate: Candidate) -> bool:
        """Whether a configuration can run. Discards the problems that were found before."""
        self.told.clear()
        self._check(candidate)
        return not self.told

    def _check(self, candidate: Candidate, tried: str = "", shown: KeyPath | None = None) -> None:
        """`tried` names the combination of values; a problem at a path below `shown` does not need it."""
        try:
            run = candidate.run
        except ValidationError as error:
            for finding in findings(error, Run, candidate.values):
                path = _in_spec(candidate, finding)
                told = _alternative(candidate, finding, path)
                self._report(path, self._whole(path, finding) + told)
                if finding.of_key and not told and path[0] == "search" and len(path) == 2:
                    self.unknown.add(path[1])
            return
        for finding in self._combined(run):
            path = _in_spec(candidate, finding)
            self._report(path, finding.text, "" if path[:2] == shown else tried)
        for path, plain in candidate.blocked.items():
            self._report(path, f"leads into {show_path(plain)}, which is no mapping.")
        if self.metric and self.metric not in run.metric_names():
            self._report(("objective", "metric"), self._lacks(run))

    def _lacks(self, run: Run) -> str:
        """What is wrong with an objective that this run does not report after every epoch."""
        if self.metric in metric_names(run.method):
            return f"{self.metric} is not measured after every epoch. Set run.active_every_epochs to 1."
        return f"the method '{run.method.name}' has no metric '{self.metric}'. {cure(self.metric, run.metric_names())}"

    def _whole(self, path: KeyPath, finding: Finding) -> str:
        """The finding's text or, where a domain draws numbers that must be whole and are not, which domain to write."""
        there = value_at(self.document.values, path)
        steps = (*path, *there) if isinstance(there, dict) else path
        word = next((step for step in reversed(steps) if step in WHOLE), None)
        if word is None or not finding.text.startswith(SENTENCES["int_type"].partition("{")[0]):
            return finding.text
        ends = value_at(self.document.values, steps[: steps.index(word) + 1])
        return f"must be a whole number, and '{word}' draws others. {WHOLE[word].format(*ends)}"

    def _combined(self, run: Run) -> Iterator[Finding]:
        """Values that are valid alone, but not together or not with the data."""
        facts = self.facts(run.data)
        if isinstance(facts, DataError):
            yield Finding(("data", *read_path(facts.field)), str(facts))
        elif facts:
            yield from (Finding(read_path(path), text) for path, text in run.mistakes(facts))

    def _report(self, path: KeyPath, text: str, tried: str = "") -> None:
        problem = Problem(self.document.place(path), path, f"{text} {tried}".strip())
        self.told.setdefault((path, text), problem)


def _facts(dataset: Dataset, data: DataAccess) -> Facts | DataError | None:
    """None where the data are elsewhere: whoever has them checks them."""
    try:
        return facts_of(dataset, data)
    except DataError as error:
        return error
    except NotHere:
        return None


def _in_spec(candidate: Candidate, finding: Finding) -> KeyPath:
    """The path in the spec of what a finding about a candidate's run refers to."""
    for depth in range(len(finding.path), 0, -1):
        origin = candidate.origins.get(finding.path[:depth])
        if origin and finding.of_key and depth == len(finding.path):
            return origin.domain
        if origin:
            return origin.value + finding.path[depth:]
    return ("run", *finding.path)


def _alternative(candidate: Candidate, finding: Finding, in_spec: KeyPath) -> str:
    """Names the alternative that lacks an unknown key, where the alternative is chosen elsewhere in the spec."""
    values, origin, told = candidate.values, None, ""
    for depth, step in enumerate(finding.path[:-1] if finding.of_key else (), start=1):
        values = values[step]
        origin = candidate.origins.get(finding.path[:depth], origin)
        if origin and origin.value != in_spec[: len(origin.value)] and "name" in values:
            told = f" So it is for {show_path(finding.path[:depth])}.name = '{values['name']}'."
    return told


def _listed(config: dict[str, Any]) -> str:
    return ", ".join(f"{path} = {show_value(value)}" for path, value in config.items())
