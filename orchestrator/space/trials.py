"""The trials of a sweep that are known up front, and what a trial is in plain values. `plan.py` counts all of them."""

from collections.abc import Sized
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
    """All trainings that are known up front, in the order in which they start; the same list for the same spec."""
    numbered = enumerate(candidates(spec), start=1)
    return [trial for configuration, found in numbered for trial in replicas(spec, configuration, found)]


def replicas(spec: "SweepSpec", configuration: int, found: Candidate) -> list[Trial]:
    """The trainings of one configuration, one for each seed."""
    first = found.complete["seed"]
    return [
        Trial(number, configuration, copied(found.config), copied(found.complete) | {"seed": seed}, seed)
        for seed, number in enumerate(numbers_of(spec, configuration), start=first)
    ]


def trial_name(number: int) -> str:
    """The id of a trial, and the name of its folder."""
    return f"{number:04d}"


def numbers_of(spec: "SweepSpec", configuration: int) -> range:
    """The numbers of a configuration's trials."""
    return range((configuration - 1) * spec.seeds + 1, configuration * spec.seeds + 1)


def parameters(spec: "SweepSpec", trial: Trial) -> dict[str, Any]:
    """What tells a trial from the others: what varies, and where replicas are, its configuration, seed and stage."""
    replica = {"configuration": trial.configuration, "seed": trial.seed} if spec.replicated else {}
    return trial.config | replica | ({"stage": trial.stage} if spec.confirm else {})


def notes(spec: "SweepSpec", trials: Sized) -> list[str]:
    """What the user should know of the number of trials of a search."""
    asked, found = trainings(spec) // spec.seeds, len(trials) // spec.seeds
    if found == asked:
        return []
    return [f"{asked} trials asked for, but the search holds only {found} different configurations: all are run."]


def selected(row: dict[str, Any], runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs, in plain values, that have all values of a row."""
    return [run for run in runs if all(value_at(run, read_path(path)) == value for path, value in row.items())]
