"""Enumerates a search space: the configurations that are known before the sweep starts, and the number of trainings.

The rules:
- A path under `search` is relative to `run`. Shorter paths are applied first: `method` chooses a whole method, then
  `method.beta` sets a value within it. A value that is put replaces what was there, with all that was in it.
- A `grid` is walked through in full, several grids are crossed, and each point of them gets the same `trials` draws of
  the other domains: (points) x (trials) configurations. A `zip` is a grid over rows that set several paths together.
- The searcher `grid` walks through every domain; `optuna` draws while the sweep runs, so nothing is known up front.
- An entry whose `when` does not hold sets nothing: a grid then makes no further points.
- Draw k of a domain is a function of search_seed, k and the domain's place in the spec. So more trials, or another
  domain, do not change the other draws.
- Each configuration is trained with `seeds` seeds: run.seed, run.seed + 1, ... Its replicas stand next to each other in
  the list of trials. Schedulers treat each replica as a trial of its own.
- No two configurations make equal runs, however they are written: a repeated draw is replaced by a new one. Where there
  are fewer than asked for, all are listed, and `trials.notes` says so.
"""

import itertools
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from orchestrator.space.assembly import Candidate, Odometer, assemble, every
from orchestrator.space.entries import in_order
from orchestrator.spec.diagnostics import KeyPath, show_path
from orchestrator.spec.domains import Choice, Domain, Pick, Walked, domains_in, steps

if TYPE_CHECKING:
    from orchestrator.spec.records import SweepSpec

MOST_TRAININGS = 10_000  # of one sweep
MOST_REPEATS = 1_000  # draws in a row that are all known, after which a space counts as exhausted

Point = dict[KeyPath, Pick]
"""A point of the grids: the place of each active grid in the spec -> its value."""


def trainings(spec: "SweepSpec", most_points: int | None = None) -> int:
    """The number of trainings that a search asks for, counting at most `most_points` points of the grids."""
    walk, values, draws = (_points, _of_grids, spec.trials)
    if spec.searcher.name == "grid":
        walk, values, draws = (_combinations, _of_all, 1)
    if any(domain.when for domain in spec.search.values()):
        points = sum(1 for _ in itertools.islice(walk(spec), most_points))
    else:
        points = _count(spec.search, partial(values, spec))
    return min(points, most_points or points) * draws * spec.seeds


def _count(tree: Any, values: Callable[[Domain], Iterable[Pick]]) -> int:
    """How many combinations a tree of mappings and domains has, where each domain takes `values` of it."""
    if isinstance(tree, Domain):
        return sum(_count(pick.value, values) for pick in values(tree))
    return math.prod(_count(below, values) for below in tree.values()) if isinstance(tree, dict) else 1


def is_random(domain: Domain) -> bool:
    """Whether any part of a domain is drawn."""
    return any(not isinstance(inner, Walked) for inner in domains_in(domain))


def candidates(spec: "SweepSpec") -> list[Candidate]:
    """The configurations that are known before the sweep starts, each once."""
    return list({identity(found): found for found in LISTED[spec.searcher.name](spec)}.values())


def identity(found: Candidate) -> str:
    """A key that is equal for configurations of equal runs; if the values make no valid Run, a key of the values."""
    try:
        return same_run(found.complete)
    except ValidationError:
        return same_run(found.values)


def same_run(run: dict[str, Any]) -> str:
    """A key that is equal for equal runs."""
    key = json.dumps(run, sort_keys=True)
    return json.dumps(_without_signed_zeros(run), sort_keys=True) if "-0.0" in key else key


def _without_signed_zeros(tree: Any) -> Any:
    """The same plain values, where -0.0 is 0.0: they are equal."""
    if isinstance(tree, dict):
        return {key: _without_signed_zeros(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return list(map(_without_signed_zeros, tree))
    return tree + 0.0 if isinstance(tree, float) else tree


def places(spec: "SweepSpec") -> list[Point]:
    """The grid point of each configuration that is drawn while the sweep runs, in the order of drawing."""
    if spec.searcher.name != "optuna":
        return []
    room = [(point, min(spec.trials, _size(spec, point))) for point in _points(spec)]
    return [point for draw in range(spec.trials) for point, draws in room if draw < draws]


def _at_random(spec: "SweepSpec") -> Iterator[Candidate]:
    """The first draw at each point of the grids, then the second, ..."""
    if not any(map(is_random, spec.search.values())):  # nothing is drawn: each point is one configuration
        return (found for found, _ in _walk_grids(spec))
    per_point = [list(_draws(spec, point)) for point in _points(spec)]
    return (found for draw in itertools.zip_longest(*per_point) for found in draw if found)


def _combinations(spec: "SweepSpec") -> Iterator[Candidate]:
    """All values of all domains, crossed; of one domain at most MOST_TRAININGS + 1, which is too many for a sweep."""
    values: dict[KeyPath, list[Pick]] = {}

    def known(domain: Domain, where: KeyPath) -> list[Pick]:
        if where not in values:
            values[where] = list(_of_all(spec, domain))
        return values[where]

    return every(spec.run.model_dump(mode="json"), in_order(spec.search), Odometer(known))


LISTED = {"random": _at_random, "grid": _combinations, "optuna": lambda spec: ()}
"""The searcher's name -> the configurations that are known before the sweep starts, some perhaps more than once."""


def _of_all(spec: "SweepSpec", domain: Domain) -> Iterator[Pick]:
    """The values of a domain that the searcher `grid` walks through."""
    return itertools.islice(steps(domain, spec.searcher.points), MOST_TRAININGS + 1)


def _of_grids(spec: "SweepSpec", domain: Domain) -> Sequence[Pick]:
    """All values of a grid, but only one of any other domain, so that only grids multiply the points."""
    return domain.probes()[: None if isinstance(domain, Walked) else 1]


def _points(spec: "SweepSpec") -> Iterator[Point]:
    """All points of the grids. No draw decides which grids are active: `probing.idle` refuses such a search."""
    return (point for _, point in _walk_grids(spec))


def _walk_grids(spec: "SweepSpec") -> Iterator[tuple[Candidate, Point]]:
    """The points of the grids, and a configuration at each: the only one, if nothing is drawn."""
    grids = Odometer(lambda domain, where: _of_grids(spec, domain))
    for found in every(spec.run.model_dump(mode="json"), in_order(spec.search), grids):
        domains = grids.domains.items()
        yield found, {where: grids.picks[where] for where, domain in domains if isinstance(domain, Walked)}


def _draws(spec: "SweepSpec", point: Point) -> Iterator[Candidate]:
    """Different configurations at one point of the grids: `trials` of them, or as many as there are."""
    base, ordered = spec.run.model_dump(mode="json"), in_order(spec.search)
    wanted = min(spec.trials, _size(spec, point))
    seen, repeats = set(), 0
    for draw in itertools.count():
        if len(seen) >= wanted or repeats == MOST_REPEATS:
            return
        found = assemble(base, ordered, lambda domain, where, draw=draw: _drawn(spec, domain, where, draw, point))
        repeats += 1
        if (known := identity(found)) not in seen:
            seen.add(known)
            repeats = 0
            yield found


def _drawn(spec: "SweepSpec", domain: Domain, where: KeyPath, draw: int, point: Point) -> Pick:
    if where in point:
        return point[where]
    return domain.sample(np.random.default_rng([spec.search_seed, draw, zlib.crc32(show_path(where).encode())]))


def _size(spec: "SweepSpec", point: Point) -> float:
    """How many configurations there are at one point of the grids, if no two options are alike.

    It counts no further than `trials`: for each combination of choices, the product of the sizes of the other domains
    that are active. If the search has a `when`, which may depend on a number of a range, each range counts as infinite.
    """
    base, ordered = spec.run.model_dump(mode="json"), in_order(spec.search)
    conditional = any(entry.domain.when for entry in ordered)

    def options(domain: Domain, where: KeyPath) -> list[Pick]:
        return [point[where]] if where in point else list(domain.probes()[: None if isinstance(domain, Choice) else 1])

    choices, total = Odometer(options), 0.0
    for _ in every(base, ordered, choices):
        others = (domain for domain in choices.domains.values() if not isinstance(domain, Walked | Choice))
        total += math.prod(math.inf if conditional else domain.size() for domain in others)
        if total >= spec.trials:
            break
    return total
