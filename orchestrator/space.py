"""The search space: the list of trials, made up front.

The rules:
- A path under `search` is relative to `run`. Shorter paths are applied first: `method` chooses a whole method, then
  `method.beta` sets a value within it. A value that is put replaces what was there, with all that was in it.
- A `grid` is walked through in full, several grids are crossed, and each point of them gets the same `trials` draws of
  the other domains: (points) x (trials) configurations. A `zip` is a grid over rows that set several paths together.
- An entry whose `when` does not hold sets nothing: a grid then makes no further points.
- The draw number k of a domain is a function of search_seed, k and the domain's place in the spec. More trials, or a
  further domain, leave the draws there were as they are.
- Each configuration is trained with `seeds` seeds: run.seed, run.seed + 1, ... Its replicas stand next to each other in
  the list of trials. Whatever stops trials early takes each replica for a trial of its own.
- No configuration is listed twice: one that was drawn before is drawn again. Where there are fewer than asked for, all
  are listed, and `notes` says so.
"""

import copy
import itertools
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.assembly import Candidate, Odometer, assemble, build, every
from orchestrator.domains import Choice, Domain, Pick, Walked, domains_in
from orchestrator.entries import in_order
from orchestrator.mistakes import Path, show_path

if TYPE_CHECKING:
    from orchestrator.spec import SweepSpec

MOST_REPEATS = 1_000  # draws in a row that are all known, until a space counts as exhausted

Point = dict[Path, Pick]
"""Where each grid that is active stands, by the grids' places."""


@dataclass(frozen=True)
class Trial:
    """One training of a sweep, in plain values."""

    number: int  # from 1
    configuration: int  # from 1; replicas share it
    config: dict[str, Any]  # what varies: dotted path relative to `run` -> value
    run: dict[str, Any]  # the complete Run
    seed: int  # the Run's


def trials(spec: "SweepSpec") -> list[Trial]:
    """All trainings of a sweep, in the order in which they start; the same list for the same spec."""
    listed = []
    for configuration, candidate in enumerate(candidates(spec), start=1):
        run = build(candidate.values).model_dump(mode="json")
        for seed in range(run["seed"], run["seed"] + spec.seeds):
            replica, config = copy.deepcopy(run) | {"seed": seed}, copy.deepcopy(candidate.config)
            listed.append(Trial(len(listed) + 1, configuration, config, replica, seed))
    return listed


def parameters(spec: "SweepSpec", trial: Trial) -> dict[str, Any]:
    """What tells a trial from the others: what varies, and with several seeds also its configuration and its seed."""
    return trial.config | ({"configuration": trial.configuration, "seed": trial.seed} if spec.seeds > 1 else {})


def notes(spec: "SweepSpec", listed: list[Trial]) -> list[str]:
    """What the user should know of the list of trials."""
    asked, found = trainings(spec) // spec.seeds, len(listed) // spec.seeds
    if found == asked:
        return []
    return [f"{asked} trials asked for, but the search holds only {found} different configurations: all are run."]


def trainings(spec: "SweepSpec", most_points: int | None = None) -> int:
    """The number of trainings that a spec asks for. Of the grids' points no more than `most_points` are counted."""
    points = sum(1 for _ in itertools.islice(_points(spec), most_points))
    return points * spec.trials * spec.seeds


def is_random(domain: Domain) -> bool:
    """Whether anything in a domain is drawn."""
    return any(not isinstance(inner, Walked) for inner in domains_in(domain))


def candidates(spec: "SweepSpec") -> list[Candidate]:
    """The configurations of all trials: the first draw at each point of the grids, then the second, ..."""
    per_point = [list(_draws(spec, point)) for point in _points(spec)]
    in_turn = (found for draw in itertools.zip_longest(*per_point) for found in draw if found)
    return list({_identity(found): found for found in in_turn}.values())


def _points(spec: "SweepSpec") -> Iterator[Point]:
    """All points of the grids. Which grids are active is no matter of chance: `probing.idle` sees to that."""
    grids = Odometer(lambda domain, where: domain.probes()[: None if isinstance(domain, Walked) else 1])
    for _ in every(spec.run.model_dump(mode="json"), in_order(spec.search), grids):
        yield {where: grids.picks[where] for where, domain in grids.domains.items() if isinstance(domain, Walked)}


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
        if _identity(found) not in seen:
            seen.add(_identity(found))
            repeats = 0
            yield found


def _drawn(spec: "SweepSpec", domain: Domain, where: Path, draw: int, point: Point) -> Pick:
    if where in point:
        return point[where]
    return domain.sample(np.random.default_rng([spec.search_seed, draw, zlib.crc32(show_path(where).encode())]))


def _identity(candidate: Candidate) -> str:
    return json.dumps(candidate.config, sort_keys=True)


def _size(spec: "SweepSpec", point: Point) -> float:
    """How many configurations there are at one point of the grids, if no two options are alike.

    Counted no further than `trials`: choice by choice, times the sizes of the other domains that are active with it.
    A `when` may look at a number of a range, so beside one no range is counted: it has room for any number of draws.
    """
    base, ordered = spec.run.model_dump(mode="json"), in_order(spec.search)
    conditional = any(entry.domain.when for entry in ordered)

    def options(domain: Domain, where: Path) -> list[Pick]:
        return [point[where]] if where in point else list(domain.probes()[: None if isinstance(domain, Choice) else 1])

    choices, total = Odometer(options), 0.0
    for _ in every(base, ordered, choices):
        others = (domain for domain in choices.domains.values() if not isinstance(domain, Walked | Choice))
        total += math.prod(math.inf if conditional else domain.size() for domain in others)
        if total >= spec.trials:
            break
    return total
