"""Finds values of a spec that are valid alone, but not together, and numbers of `paper` that no configuration has."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.space.candidates import MOST_TRAININGS, is_random, trainings
from orchestrator.space.entries import ABSENT
from orchestrator.space.entries import mistakes as search_mistakes
from orchestrator.space.plan import Plan
from orchestrator.space.trials import RunTable
from orchestrator.spec.diagnostics import KeyPath, cure, near, read_path, show_value
from orchestrator.spec.domains import domain_name, domains_in, is_countable, paths_of
from orchestrator.spec.records import Budget, GridSearch
from trainables.metrics import DIRECTIONS

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec


def inconsistencies(spec: "SweepSpec") -> Iterator[tuple[KeyPath, str]]:
    """Values that are valid alone, but not together: (path in the spec, what is wrong and its cure)."""
    yield from _mistakes_of_objective(spec)
    yield from _mistakes_of_resources(spec)
    if spec.budget:
        yield from _mistakes_of_budget(spec)
    for index, table in enumerate(spec.paper):
        yield from ((("paper", index, *read_path(path)), text) for path, text in table.mistakes())
    if not any(search_mistakes(spec.search)):  # `Checker.check_search` reports those
        yield from _mistakes_of_number(spec)
        yield from _mistakes_of_paths(spec)


def _mistakes_of_number(spec: "SweepSpec") -> Iterator[tuple[KeyPath, str]]:
    """Mistakes in the number of trials and trainings."""
    walked = isinstance(spec.searcher, GridSearch)
    random = any(map(is_random, spec.search.values())) and not walked
    if random and "trials" not in spec.model_fields_set:
        yield ("trials",), "is missing. Say how often the search draws from its domains."
    if spec.trials > 1 and walked:
        why = "the searcher 'grid' trains each combination of values once, however many there are"
        yield ("trials",), f"{why}. Leave 'trials' out, or use 'searcher: {{name: random}}'."
    elif spec.trials > 1 and not random:
        yield ("trials",), f"{spec.trials} trials would all be alike: the search draws nothing at random. Write 1."
    endless = list(_endless(spec)) if walked and not spec.searcher.points else []
    yield from endless
    asked = 0 if endless else trainings(spec, MOST_TRAININGS + 1)
    again = min(spec.confirm.top, asked) * spec.confirm.seeds if spec.confirm else 0
    if asked > MOST_TRAININGS:
        smaller = "Make the grids, 'trials' or 'seeds' smaller."
        yield ("search",), f"asks for more than {MOST_TRAININGS:,} trainings. {smaller}"
    elif again > MOST_TRAININGS:
        yield ("confirm",), f"asks for more than {MOST_TRAININGS:,} trainings. Make 'top' or 'seeds' smaller."


def _endless(spec: "SweepSpec") -> Iterator[tuple[KeyPath, str]]:
    """Domains that a grid search cannot enumerate."""
    for key, domain in spec.search.items():
        for inner in domains_in(domain):
            if not is_countable(inner):
                cure = "Write searcher.points, the number of them to try, or a 'grid' of values."
                yield ("search", key), f"has no end of values: {domain_name(type(inner))}. {cure}"


def _mistakes_of_paths(spec: "SweepSpec") -> Iterator[tuple[KeyPath, str]]:
    """Searched paths that other parts of the spec forbid to vary."""
    keys = {path: key for key in spec.search for path in paths_of(key)}
    for field, varies in {"seeds": spec.seeds > 1, "confirm": spec.confirm}.items():
        if "seed" in keys and varies:
            yield (field,), "varies run.seed, and so does search.seed. Remove one of them."
    if "epochs" in keys and spec.scheduler.decides_epochs:
        cure = "To vary epochs use 'scheduler: {name: none}'."
        yield ("search", keys["epochs"]), f"the scheduler decides how long a trial trains. {cure}"
    early = [key for path, key in keys.items() if path.partition(".")[0] == "early_stopping"]
    if (early or spec.run.early_stopping) and spec.scheduler.decides_epochs:
        place = ("search", early[0]) if early else ("run", "early_stopping")
        yield place, "the scheduler decides how long a trial trains. Remove this, or use 'scheduler: {name: none}'."


def _mistakes_of_objective(spec: "SweepSpec") -> Iterator[tuple[KeyPath, str]]:
    if odd := spec.objective.oddity():
        yield ("objective", "mode"), f"{odd} Leave 'mode' out, or write {DIRECTIONS[spec.objective.metric]}."
    elif spec.objective.mode is None and spec.objective.metric in DIRECTIONS:  # `Checker` reports an unknown metric
        why = f"{spec.objective.metric} is better neither high nor low as such"
        yield ("objective", "mode"), f"is missing: {why}. Write max or min."


def _mistakes_of_resources(spec: "SweepSpec") -> Iterator[tuple[KeyPath, str]]:
    """What trials that share a slot cannot have."""
    place = ("resources", "trials_per_slot")
    if spec.resources.trials_per_slot == 1:
        return
    if spec.resources.workers > 1:
        yield place, "trials of several workers share no slot. Write 1, or 'workers: 1'."
    if spec.trials_draw:
        yield place, "trials that draw while they train share no slot. Write 1, or 'pictures: {top: 5}' alone."


def _mistakes_of_budget(spec: "SweepSpec") -> Iterator[tuple[KeyPath, str]]:
    if not any(spec.budget.model_dump().values()):
        yield ("budget",), f"names no limit. Known: {', '.join(Budget.model_fields)}."
    if spec.budget.gpu_hours and not spec.resources.gpus_per_worker:
        yield ("budget", "gpu_hours"), "is never used up: resources.gpus_per_worker is 0. Write hours or epochs."


def paper_mistakes(plan: Plan) -> Iterator[tuple[KeyPath, str]]:
    """Numbers of no configuration, in an otherwise valid spec: (path in the spec, what is wrong and its cure).

    With `--set` a sweep may leave out configurations for which numbers are printed.
    """
    if not plan.spec.paper or plan.spec.overrides:
        return
    runs, told = RunTable([trial.run for trial in plan.examples]), set()
    for index, table in enumerate(plan.spec.paper):
        for cell in table.cells():
            found = list(_unknown(cell.of, runs))
            if not found and not runs.selected(cell.of):
                found = [((), "no configuration has all of these together. Remove one, or mend the search.")]
            for below, text in found:
                where = table.place_of(cell, *below)
                if where not in told:
                    told.add(where)
                    yield ("paper", index, *where), text


def _unknown(row: dict[str, Any], runs: RunTable) -> Iterator[tuple[KeyPath, str]]:
    """Paths that no configuration has, and values that none has at a path."""
    for path, value in row.items():
        if runs.having(path, value):
            continue
        known = [one for one in runs.column(path) if one is not ABSENT]
        if not known:
            yield (path,), f"no configuration has this path.{_meant(path, runs.runs)}"
        else:
            words = dict.fromkeys(map(_word, known))
            yield (path,), f"no configuration has {show_value(value)} here. {cure(_word(value), words)}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else show_value(value)


def _meant(path: str, runs: Sequence[dict[str, Any]]) -> str:
    meant = near(path, dict.fromkeys(known for run in runs for known in _paths(run)))
    return f" Did you mean '{meant}'?" if meant else " Write one such as network.latent_dim."


def _paths(tree: Any, above: str = "") -> Iterator[str]:
    """All paths into a tree of mappings."""
    for key, below in tree.items() if isinstance(tree, dict) else ():
        yield f"{above}{key}"
        yield from _paths(below, f"{above}{key}.")
