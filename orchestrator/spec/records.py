"""The spec of a sweep: what a user writes in YAML, read and checked as a whole."""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from orchestrator.checks.check import Checker
from orchestrator.space.assembly import build
from orchestrator.space.candidates import MOST_TRAININGS, candidates, is_random, trainings
from orchestrator.space.entries import Search, mistakes, paths_of
from orchestrator.spec.diagnostics import Path, Problem, SpecError, findings
from orchestrator.spec.domains import AnyDomain, domain_name, domains_in, is_countable, path_in_run
from orchestrator.spec.published import Printed
from orchestrator.spec.published import mistakes as mistakes_of_paper
from orchestrator.spec.yaml_file import Document, override, read_yaml
from trainables.common.records import Record, choice
from trainables.common.roots import Root
from trainables.metrics import DIRECTIONS, Direction
from trainables.run import Run


def _folder_name(name: str) -> str:
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
    """What a sweep looks for."""

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
        """The mode that an older sweep may have, and a new one must not: it takes the worst trials for the best."""
        own = DIRECTIONS.get(self.metric)
        if own in (None, self.mode):
            return None
        return f"'{self.mode}' is at odds with {self.metric}, of which {BETTER[own]} values are better."


class RandomSearch(Record):
    """Draws each value by chance, whatever the results are."""

    name: Literal["random"] = "random"


class GridSearch(Record):
    """Walks through all values of all domains, crossed, as if each were a grid."""

    name: Literal["grid"] = "grid"
    points: Annotated[int, Field(ge=2)] | None = None
    """Values of each uniform, loguniform and normal, evenly apart: of their logarithms, of the shares below them."""


class OptunaSearch(Record):
    """TPE of Optuna: draws each configuration, when its turn comes, near those that did well so far.

    Each point of the grids has a search of its own, so all get the same number of draws. What it knows of a trial is
    the objective after its last epoch; a trial that diverged or failed is the worst.
    """

    name: Literal["optuna"] = "optuna"
    startup_trials: PositiveInt = 10
    """Trials with results before which it draws by chance."""

    source: ClassVar[str] = "Watanabe 2023, Tree-structured Parzen estimator (multivariate, in groups)"


SEARCHERS: tuple[type[Record], ...] = (
    RandomSearch,
    GridSearch,
    OptunaSearch,
)


class Confirm(Record):
    """After the search: the best configurations again, in full and with seeds that they have not had."""

    top: PositiveInt
    """Configurations."""
    seeds: PositiveInt
    """Trainings of each of them. The leaderboard ranks them by the mean of these alone, above all others."""


class Budget(Record):
    """Ends a sweep in order: no trial is started or promoted any more, those that run end after their epoch."""

    epochs: PositiveInt | None = None
    """Of all trials together, trained in this sweep."""
    hours: PositiveFloat | None = None
    """While the sweep runs; the time until it is resumed does not count."""
    gpu_hours: PositiveFloat | None = None
    """Time that trials train, times the GPUs that each of them has."""


class Asha(Record):
    """Asynchronous successive halving: stops trials early that are behind others at the same epoch.

    When no trial can come to a rung any more, the best max(1, floor(n / reduction_factor)) of the n there go on: so one
    at least is trained in full.
    """

    name: Literal["asha"] = "asha"
    grace_epochs: PositiveInt = 3
    """Epochs that every trial gets: the first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in so many trials goes on from rung to rung; rungs lie this factor apart."""
    max_epochs: PositiveInt | None = None
    """Epochs of the best trials; at most, and by default, run.epochs."""

    source: ClassVar[str] = "Li et al. 2020, A system for massively parallel hyperparameter tuning, Algorithm 2"


class Hyperband(Asha):
    """Several ASHAs side by side: the first with grace_epochs, each further one with reduction_factor times as many.

    A hedge against an objective that says little early on: the last one trains its trials in full, and of each other
    one trial at least is.
    """

    name: Literal["hyperband"] = "hyperband"

    source: ClassVar[str] = "Li et al. 2020, A system for massively parallel hyperparameter tuning, section 3"


class NoScheduler(Record):
    """Trains every trial to its end."""

    name: Literal["none"] = "none"


SCHEDULERS: tuple[type[Record], ...] = (
    Asha,
    Hyperband,
    NoScheduler,
)


class Resources(Record):
    """What one trial takes."""

    workers: PositiveInt = 1
    """Processes that share a trial's batches. The numbers do not depend on how many."""
    cpus_per_worker: PositiveFloat = 1
    gpus_per_worker: Annotated[NonNegativeFloat, AfterValidator(_share_of_gpus)] = 0
    """Parts of a GPU are allowed: 0.5 puts two workers on one."""
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    """Of a trial's workers: on few machines, on many; strict: on one alone, on as many as there are workers."""


class SweepSpec(Record):
    """A sweep: one run, what of it varies, and how the trials are chosen, ranked, stopped and placed."""

    name: Annotated[str, AfterValidator(_folder_name)]
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
    """Decides what is drawn. The trainings' own seed is run.seed."""
    searcher: choice(SEARCHERS) = RandomSearch()
    confirm: Confirm | None = None
    budget: Budget | None = None
    objective: Objective = Objective()
    scheduler: choice(SCHEDULERS) = Asha()
    resources: Resources = Resources()
    pictures_every: PositiveInt | None = None
    """Epochs between pictures; default: pictures at a trial's end alone."""
    paper: tuple[Printed, ...] = ()
    """What a paper prints for these trainings."""

    @property
    def replicated(self) -> bool:
        """Whether there are configurations with more than one training."""
        return self.seeds > 1 or self.confirm is not None

    def mistakes(self) -> Iterator[tuple[Path, str]]:
        """Values that are sound by themselves, but not together: (place in the spec, what and its cure)."""
        yield from self._mistakes_of_objective(self.objective)
        if self.budget:
            yield from self._mistakes_of_budget(self.budget)
        if not any(mistakes(self.search)):  # they are told as those of the search
            yield from self._mistakes_of_number()
            yield from self._mistakes_of_paths()

    def _mistakes_of_number(self) -> Iterator[tuple[Path, str]]:
        """Of how many trials are asked for."""
        walked = isinstance(self.searcher, GridSearch)
        random = any(map(is_random, self.search.values())) and not walked
        if random and "trials" not in self.model_fields_set:
            yield ("trials",), "is missing. Say how often the search draws from its domains."
        if self.trials > 1 and not random:
            yield ("trials",), f"{self.trials} trials would all be alike: the search draws nothing at random. Write 1."
        endless = list(self._endless()) if walked and not self.searcher.points else []
        yield from endless
        asked = 0 if endless else trainings(self, MOST_TRAININGS + 1)
        again = min(self.confirm.top, asked) * self.confirm.seeds if self.confirm else 0
        if asked > MOST_TRAININGS:
            smaller = "Make the grids, 'trials' or 'seeds' smaller."
            yield ("search",), f"asks for more than {MOST_TRAININGS:,} trainings. {smaller}"
        elif again > MOST_TRAININGS:
            yield ("confirm",), f"asks for more than {MOST_TRAININGS:,} trainings. Make 'top' or 'seeds' smaller."

    def _endless(self) -> Iterator[tuple[Path, str]]:
        """Domains that no grid can walk through."""
        for key, domain in self.search.items():
            for inner in domains_in(domain):
                if not is_countable(inner):
                    cure = "Write searcher.points, the number of them to try, or a 'grid' of values."
                    yield ("search", key), f"has no end of values: {domain_name(type(inner))}. {cure}"

    def _mistakes_of_paths(self) -> Iterator[tuple[Path, str]]:
        """Of what may not vary beside other parts of the spec."""
        keys = {path: key for key in self.search for path in paths_of(key)}
        for field, varies in {"seeds": self.seeds > 1, "confirm": self.confirm}.items():
            if "seed" in keys and varies:
                yield (field,), "varies run.seed, and so does search.seed. Remove one of them."
        if "epochs" in keys and isinstance(self.scheduler, Asha):
            cure = "To vary epochs use 'scheduler: {name: none}'."
            yield ("search", keys["epochs"]), f"the scheduler decides how long a trial trains. {cure}"

    def _mistakes_of_objective(self, objective: Objective) -> Iterator[tuple[Path, str]]:
        if odd := objective.oddity():
            yield ("objective", "mode"), f"{odd} Leave 'mode' out, or write {DIRECTIONS[objective.metric]}."
        elif objective.mode is None and objective.metric in DIRECTIONS:  # of an unknown metric others tell
            why = f"{objective.metric} is better neither high nor low as such"
            yield ("objective", "mode"), f"is missing: {why}. Write max or min."

    def _mistakes_of_budget(self, budget: Budget) -> Iterator[tuple[Path, str]]:
        if not any(budget.model_dump().values()):
            yield ("budget",), f"names no limit. Known: {', '.join(Budget.model_fields)}."
        if budget.gpu_hours and not self.resources.gpus_per_worker:
            yield ("budget", "gpu_hours"), "is never used up: resources.gpus_per_worker is 0. Write hours or epochs."


def read_spec(
    file: str | FilePath,
    settings: Iterable[str] = (),
    data_root: Root = None,
    taken: Collection[str] = (),
    recorded: bool = False,
) -> SweepSpec:
    """The spec in a YAML file, with the settings of `--set` in it, every value it could take having been checked.

    Raises SpecError with all mistakes. `data_root` is where the data sets lie. A name in `taken` is a mistake, too.
    The mode of a `recorded` spec, of a sweep that has begun, is kept though it may be odd.
    """
    document = _without_notes(override(read_yaml(file), settings))
    spec, problems = _validated(document)
    if spec and spec.name.casefold() in taken:
        what = f"'{spec.name}' is a name of vaeorch's own in --out. Choose another."
        problems.append(Problem(document.place(("name",)), ("name",), what))
    checker = Checker(document, _metric(document), data_root)
    if isinstance(document.values.get("run"), dict):
        checker.check_search(_complete(document.values["run"]), _readable(document.values.get("search")))
    if recorded or any(problem.path == ("objective", "metric") for problem in checker.problems):
        problems = [problem for problem in problems if problem.path != ("objective", "mode")]
    if spec and not problems and not checker.problems:
        checker.check_trials(candidates(spec))
    if spec and not problems and not checker.problems:
        problems = [Problem(document.place(path), path, text) for path, text in mistakes_of_paper(spec)]
    if problems or checker.problems:
        raise SpecError(problems + checker.problems)
    return _resolved(spec)


def schema() -> dict[str, Any]:
    """The JSON Schema of a spec, for editors."""
    made = SweepSpec.model_json_schema()
    made["patternProperties"] = {"^x-": {"description": "The user's own, such as anchors; not read."}}
    option = made["$defs"]["Option"]
    option["anyOf"] = option.pop("oneOf")  # a domain is a mapping, too
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _without_notes(document: Document) -> Document:
    """Without the keys `x-...`, which hold what is the user's own, such as anchors."""
    values = {key: value for key, value in document.values.items() if not key.startswith("x-")}
    return Document(values, document.places)


def _validated(document: Document) -> tuple[SweepSpec | None, list[Problem]]:
    try:
        spec = SweepSpec.model_validate_json(json.dumps(document.values))
    except ValidationError as error:
        found = [(finding.path, finding.text) for finding in findings(error, SweepSpec, document.values)]
        return None, [Problem(document.place(path), path, text) for path, text in found]
    return spec, [Problem(document.place(path), path, text) for path, text in spec.mistakes()]


def _metric(document: Document) -> str | None:
    objective = document.values.get("objective", {})
    metric = objective.get("metric", Objective().metric) if isinstance(objective, dict) else None
    return metric if isinstance(metric, str) else None


def _complete(run: dict[str, Any]) -> dict[str, Any]:
    """A run with its defaults; an unsound one with those of absent fields, so that its search can be checked too."""
    try:
        return build(run).model_dump(mode="json")
    except ValidationError:
        return Run.model_construct().model_dump(mode="json") | run


def _readable(search: Any) -> Search:
    """Those entries of a search that are sound, whatever the others are."""
    entry = TypeAdapter(SweepSpec.model_fields["search"].annotation)
    sound = {}
    for path, domain in search.items() if isinstance(search, dict) else ():
        try:
            sound |= entry.validate_json(json.dumps({path: domain}))
        except ValidationError:
            continue  # told by the spec's own validation
    return sound


def _resolved(spec: SweepSpec) -> SweepSpec:
    """With numbers in place of defaults that depend on others."""
    if not isinstance(spec.scheduler, Asha):
        return spec
    epochs = min(spec.scheduler.max_epochs or spec.run.epochs, spec.run.epochs)
    return spec.model_copy(update={"scheduler": spec.scheduler.model_copy(update={"max_epochs": epochs})})
