"""The spec of a sweep: what a user writes in YAML, as records. `checks/read.py` reads and checks a spec."""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from orchestrator.schedulers.asha import Asha
from orchestrator.schedulers.table import SCHEDULERS
from orchestrator.spec.domains import AnyDomain, path_in_run, paths_of
from orchestrator.spec.evaluations import Evaluate
from orchestrator.spec.published import PrintedTable
from trainables.common.records import Record, choice
from trainables.metrics import DIRECTIONS, Direction
from trainables.run import Run


def folder_name(name: str) -> str:
    """The name, if a sweep or run may have it. Raises ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError(f"'{name}' is no plain folder name. Use letters, digits and . _ - only, at most 100 of them.")
    return name


def _paths_in_run(key: str) -> str:
    for path in paths_of(key):
        path_in_run(path)
    return key


def _share_of_gpus(gpus: float) -> float:
    if gpus > 1 and not float(gpus).is_integer():
        raise ValueError(f"must be a whole number or a part of one GPU, not {gpus:g}.")
    return gpus


BETTER = {"max": "higher", "min": "lower"}


class Objective(Record):
    """The metric that a sweep optimises."""

    metric: str = "val/elbo"
    """The metric by which trials are ranked."""
    mode: Direction | None = None
    """Which values are better. Default: the metric's own direction; a metric without one, as val/active, needs it."""

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("mode") is not None:
            return values
        metric = values.get("metric", cls.model_fields["metric"].default)
        return values | {"mode": DIRECTIONS.get(metric) if isinstance(metric, str) else None}

    def oddity(self) -> str | None:
        """What is wrong with a mode that contradicts the metric's direction; None if it does not.

        A sweep of an earlier version may have such a mode. A new one must not: it would rank the worst trials first.
        """
        own = DIRECTIONS.get(self.metric)
        if own in (None, self.mode):
            return None
        return f"'{self.mode}' is at odds with {self.metric}, of which {BETTER[own]} values are better."


class RandomSearch(Record):
    """Draws each value at random, whatever the results are."""

    name: Literal["random"] = "random"


class GridSearch(Record):
    """Walks through all values of all domains, crossed, as if each were a grid."""

    name: Literal["grid"] = "grid"
    points: Annotated[int, Field(ge=2)] | None = None
    """Values of each uniform, loguniform (by logarithm) and normal (by cumulative probability), evenly spaced."""


class OptunaSearch(Record):
    """TPE of Optuna: draws each configuration, when its turn comes, near those that did well so far.

    Each point of the grids has a search of its own, so all get the same number of draws. A trial is judged by the
    objective after its last epoch; one that diverged or failed counts as the worst.
    """

    name: Literal["optuna"] = "optuna"
    startup_trials: PositiveInt = 10
    """Trials that must have results before it stops drawing at random."""

    source: ClassVar[str] = "Watanabe 2023, Tree-structured Parzen estimator (multivariate, in groups)"


SEARCHERS: tuple[type[Record], ...] = (
    RandomSearch,
    GridSearch,
    OptunaSearch,
)


class Confirm(Record):
    """Trains the best configurations again after the search, in full and with seeds that they have not had."""

    top: PositiveInt
    """How many of the best configurations."""
    seeds: PositiveInt
    """Trainings of each of them. The leaderboard ranks them by the mean of these alone, above all others."""


class Budget(Record):
    """Ends a sweep in order: no trial is started or promoted any more, and those that run end after their epoch."""

    epochs: PositiveInt | None = None
    """Epochs of all trials together, trained in this sweep."""
    hours: PositiveFloat | None = None
    """Hours that the sweep runs; the time until it is resumed does not count."""
    gpu_hours: PositiveFloat | None = None
    """Hours that trials train, times the GPUs that each of them has."""
    usd: PositiveFloat | None = None
    """Dollars: hours that the sweep runs, times what the cluster's machines cost that are up. Your own cost nothing."""


def _some_or(word: str) -> Callable[[Any], Any]:
    """Accepts a whole number above 0, or a word."""

    def some(value: Any) -> Any:
        if value == word or (type(value) is int and value > 0):
            return value
        raise ValueError(f"must be a whole number above 0, or {word}, not {json.dumps(value)}.")

    return some


class Resources(Record):
    """The processes, CPUs and GPUs of one trial."""

    workers: PositiveInt = 1
    """Processes that share a trial's batches. The numbers do not depend on how many."""
    cpus_per_worker: PositiveFloat = 1
    """CPUs of each worker."""
    gpus_per_worker: Annotated[NonNegativeFloat, AfterValidator(_share_of_gpus)] = 0
    """Parts of a GPU are allowed: 0.5 puts two workers on one."""
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    """A trial's workers are PACKed on few machines or SPREAD over many; STRICT: all on one, or each on its own."""
    trials_per_slot: Annotated[PositiveInt | Literal["auto"], BeforeValidator(_some_or("auto"))] = 1
    """How many small trials of equal shape a slot trains as one computation, at most. auto: up to 64, where a short
    trial shows that it pays and that their numbers stay the same bit for bit; others train alone."""

    @property
    def threads(self) -> int:
        """Threads of a worker's computations."""
        return max(1, int(self.cpus_per_worker))


class Pictures(Record):
    """Which trials are drawn, once the sweep has ended: each from the model of its best epoch."""

    top: Annotated[PositiveInt | Literal["all"], BeforeValidator(_some_or("all"))] = 5
    """How many of the best trials; `vaeorch draw` draws others."""


class SweepSpec(Record):
    """A sweep: one run, what of it varies, and how the trials are chosen, ranked, stopped and placed."""

    name: Annotated[str, AfterValidator(folder_name)]
    """The folder of the results."""
    description: str = ""
    """What the sweep is for, in a few words."""
    run: Run
    """A complete training. Without `search` it is the only one."""
    search: dict[Annotated[str, AfterValidator(_paths_in_run)], AnyDomain] = {}
    """What varies: path relative to `run` -> domain. A zip has several paths, with commas between."""
    trials: PositiveInt = 1
    """Draws of the random domains; each is repeated at every point of the grids."""
    seeds: PositiveInt = 1
    """Trainings of each configuration: with run.seed, run.seed + 1, ... They are ranked by their mean."""
    search_seed: NonNegativeInt = 0
    """Seed of the search's draws. The trainings' own seed is run.seed."""
    searcher: choice(SEARCHERS) = RandomSearch()
    """How domains other than `grid` and `zip` are searched."""
    confirm: Confirm | None = None
    budget: Budget | None = None
    objective: Objective = Objective()
    scheduler: choice(SCHEDULERS) = Asha()
    """Which trials stop early."""
    resources: Resources = Resources()
    pictures: Pictures | None = Pictures()
    """Of the best trials. null: of every trial, whenever it pauses or ends, as sweeps of earlier versions have it."""
    pictures_every: PositiveInt | None = None
    """Epochs between pictures of a trial while it trains, and also when it pauses or ends; default: it draws none."""
    evaluate: Evaluate | None = None
    paper: tuple[PrintedTable, ...] = ()
    """Tables that a paper prints for these trainings; `vaeorch report` sets our numbers beside them."""
    overrides: tuple[str, ...] = ()
    """What `--set` changed of the file, as PATH=VALUE. Filled in by the command; a report says so."""

    @property
    def replicated(self) -> bool:
        """Whether there are configurations with more than one training."""
        return self.seeds > 1 or self.confirm is not None

    @property
    def trials_draw(self) -> bool:
        """Whether trials draw pictures themselves, when they pause or end."""
        return self.pictures is None or self.pictures_every is not None
