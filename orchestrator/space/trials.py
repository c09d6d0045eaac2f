"""The trials of a sweep that are known before it starts, and what a trial is. `plan.py` counts all trials."""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.space.assembly import Candidate, copied
from orchestrator.space.candidates import candidates, trainings
from orchestrator.space.entries import value_at
from orchestrator.spec.diagnostics import read_path

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec

SEARCH, CONFIRM = "search", "confirm"  # the stages of a sweep


@dataclass(frozen=True)
class Trial:
    """One training of a sweep, in plain values."""

    number: int  # from 1
    configuration: int  # from 1; replicas share it
    config: dict[str, Any]  # what varies: dotted path relative to `run` -> value
    run: dict[str, Any]  # the complete Run
    seed: int  # the Run's
    stage: str = SEARCH


def list_trials(spec: "SweepSpec") -> list[Trial]:
    """All trials that are known before the sweep starts, in the order of their start; the same for the same spec."""
    return trials_of(spec, candidates(spec))


def trials_of(spec: "SweepSpec", configurations: Iterable[Candidate]) -> list[Trial]:
    """The trials of configurations, numbered from 1."""
    numbered = enumerate(configurations, start=1)
    return [
        trial
        for configuration, found in numbered
        for trial in replicas(configuration, found, numbers_of(spec, configuration))
    ]


def replicas(configuration: int, found: Candidate, numbers: Iterable[int]) -> list[Trial]:
    """The trials of one configuration, one for each number, with seeds from the run's own on."""
    first = found.complete["seed"]
    return [
        Trial(number, configuration, copied(found.config), copied(found.complete) | {"seed": seed}, seed)
        for seed, number in enumerate(numbers, start=first)
    ]


def trial_name(number: int) -> str:
    """The id of a trial, and the name of its folder."""
    return f"{number:04d}"


def numbers_of(spec: "SweepSpec", configuration: int) -> range:
    """The numbers of a configuration's trials in a sweep as it begins."""
    return range((configuration - 1) * spec.seeds + 1, configuration * spec.seeds + 1)


def parameters(spec: "SweepSpec", trial: Trial) -> dict[str, Any]:
    """What distinguishes a trial: what varies; with replicas, configuration and seed; with `confirm`, its stage."""
    replica = {"configuration": trial.configuration, "seed": trial.seed} if spec.replicated else {}
    return trial.config | replica | ({"stage": trial.stage} if spec.confirm else {})


def notes(spec: "SweepSpec", trials: Sized) -> list[str]:
    """A note for the user if the search holds fewer configurations than were asked for."""
    asked, found = trainings(spec) // spec.seeds, len(trials) // spec.seeds
    if found == asked:
        return []
    return [f"{asked} trials asked for, but the search holds only {found} different configurations: all are run."]


class RunTable:
    """Runs, in plain values, as a table with a column for each path: a column is read once, and each value looked up.

    So to find the configurations of each of many printed numbers takes hardly longer than to find those of one.
    """

    def __init__(self, runs: Sequence[dict[str, Any]]):
        self.runs = runs
        self.columns: dict[str, list[Any]] = {}
        self.rows: dict[tuple[str, str], frozenset[int]] = {}

    def column(self, path: str) -> list[Any]:
        """The value of each run at a path, or ABSENT."""
        if path not in self.columns:
            where = read_path(path)
            self.columns[path] = [value_at(run, where) for run in self.runs]
        return self.columns[path]

    def having(self, path: str, value: Any) -> frozenset[int]:
        """The indices of the runs that have a value at a path."""
        key = path, repr(value)
        if key not in self.rows:
            self.rows[key] = frozenset(index for index, one in enumerate(self.column(path)) if one == value)
        return self.rows[key]

    def selected(self, row: dict[str, Any]) -> list[int]:
        """The indices of the runs that have all values of a row."""
        found = [self.having(path, value) for path, value in row.items()]
        return sorted(frozenset.intersection(*found)) if found else list(range(len(self.runs)))
