"""The search space: the candidates it holds, and the list of trials drawn from it up front.

The rules:
- A path under `search` is relative to `run`. Shorter paths are applied first: `method` chooses a whole method, then
  `method.beta` sets a value within it. A value that is put replaces what was there, with all that was in it.
- A `grid` is walked through in full, several grids are crossed, and each point of them gets the same `trials` draws of
  the other domains: (points) x (trials) trainings. So a grid over `seed` repeats each draw with every seed.
- The draw number k of a domain is a function of search_seed, k and the domain's place in the spec. More trials, or a
  further domain, leave the draws there were as they are.
- No configuration is listed twice: one that was drawn before is drawn again. Where there are fewer than asked for, all
  are listed, and `notes` says so.
"""

import copy
import itertools
import json
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from orchestrator.domains import Choice, Domain, Grid, Pick
from orchestrator.mistakes import Path, read_path, show_path
from orchestrator.yaml_file import put
from trainables.run import Run

if TYPE_CHECKING:
    from orchestrator.spec import SweepSpec

MOST_REPEATS = 1_000  # draws in a row that are all known, until a space counts as exhausted

Search = dict[str, Domain]
Picker = Callable[[Domain, Path], Pick]
"""Takes one value of a domain; the path is the domain's place in the spec."""


@dataclass(frozen=True)
class Trial:
    """One training of a sweep, in plain values."""

    number: int  # from 1
    config: dict[str, Any]  # what varies: dotted path relative to `run` -> value
    run: dict[str, Any]  # the complete Run
    seed: int  # the Run's


class Origin(NamedTuple):
    """What in the spec a value of a run comes from."""

    domain: Path
    value: Path  # the option, or the end of a range, within the domain


@dataclass(frozen=True)
class Candidate:
    """Values for a Run with one value of each domain in them."""

    values: dict[str, Any]
    config: dict[str, Any]
    origins: dict[Path, Origin]  # path in the run -> where its value comes from
    blocked: dict[Path, Path]  # place of a domain -> the plain value on its path, into which nothing can be put


def build(values: dict[str, Any]) -> Run:
    """A Run from plain values, in which lists stand for tuples. Raises pydantic's ValidationError."""
    return Run.model_validate_json(json.dumps(values))


def trials(spec: "SweepSpec") -> list[Trial]:
    """All trainings of a sweep, in the order in which they start; the same list for the same spec."""
    plain = [(candidate, build(candidate.values).model_dump(mode="json")) for candidate in candidates(spec)]
    return [Trial(number, candidate.config, run, run["seed"]) for number, (candidate, run) in enumerate(plain, start=1)]


def notes(spec: "SweepSpec", listed: list[Trial]) -> list[str]:
    """What the user should know of the list of trials."""
    asked = trainings(spec)
    if len(listed) == asked:
        return []
    return [f"{asked} trials asked for, but the search holds only {len(listed)} different configurations: all are run."]


def trainings(spec: "SweepSpec", most_points: int | None = None) -> int:
    """The number of trainings that a spec asks for. Of the grids' points no more than `most_points` are counted."""
    return spec.trials * sum(1 for _ in itertools.islice(_points(spec.search, ("search",)), most_points))


def is_random(tree: Any) -> bool:
    """Whether anything in a domain, or a mapping that holds domains, is drawn."""
    if isinstance(tree, dict):
        return any(map(is_random, tree.values()))
    return any(is_random(value) for _, value in tree.probes()) if isinstance(tree, Grid) else isinstance(tree, Domain)


def candidates(spec: "SweepSpec") -> list[Candidate]:
    """The configurations of all trials: the first draw at each point of the grids, then the second, ..."""
    base = spec.run.model_dump(mode="json")
    per_point = [list(_draws(spec, base, point)) for point in _points(spec.search, ("search",))]
    in_order = (found for draw in itertools.zip_longest(*per_point) for found in draw if found)
    return list({_identity(found): found for found in in_order}.values())


def probing(base: dict[str, Any], search: Search) -> Iterator[tuple[str, Candidate]]:
    """Candidates with each probe of each domain, the others at their first, and the path whose domain is probed."""
    for path, domain in search.items():
        for chosen in _variations(domain, ("search", path)):
            yield path, assemble(base, search, lambda domain, where, at=chosen: domain.probes()[at.get(where, 0)])


def assemble(base: dict[str, Any], search: Search, pick: Picker) -> Candidate:
    """The values of `base` with one value of each domain put in."""
    made = Candidate(copy.deepcopy(base), {}, {}, {})
    paths = {path: read_path(path) for path in sorted(search, key=lambda path: len(read_path(path)))}
    for path, at in paths.items():
        where = ("search", path)
        if plain := _plain_value(made.values, at):
            made.blocked[where] = plain
            continue
        value = _render(search[path], pick, at, where, made.origins)
        made.origins.update(dict.fromkeys(put(made.values, at, value), Origin(where, where)))
    for path in search:  # in the user's order
        if ("search", path) not in made.blocked:
            made.config.update(_flat(path, _at(made.values, paths[path])))
    return made


def _plain_value(values: Any, at: Path) -> Path | None:
    """The path of a value on the way to `at` that is no mapping, if there is one."""
    for depth, step in enumerate(at[:-1], start=1):
        values = values.get(step)
        if not isinstance(values, dict):
            return None if values is None else at[:depth]
    return None


def _render(tree: Any, pick: Picker, at: Path, where: Path, origins: dict[Path, Origin]) -> Any:
    """`tree` with a value in place of each domain; `at` is its path in the run, `where` its path in the spec."""
    if isinstance(tree, Domain):
        below, value = pick(tree, where)
        origins[at] = Origin(where, where + below)
        return _render(value, pick, at, where + below, origins)
    if isinstance(tree, dict):
        return {key: _render(value, pick, (*at, key), (*where, key), origins) for key, value in tree.items()}
    return copy.deepcopy(tree)


def _flat(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {inner: leaf for key in value for inner, leaf in _flat(f"{path}.{key}", value[key]).items()}


def _at(values: dict, path: Path) -> Any:
    for step in path:
        values = values[step]
    return values


def _variations(tree: Any, where: Path) -> Iterator[dict[Path, int]]:
    """Numbers of probes for some domains, by their places: all probes of all domains of `tree`, one at a time."""
    if isinstance(tree, Domain):
        for number, (below, value) in enumerate(tree.probes()):
            yield from ({where: number, **inner} for inner in _variations(value, where + below))
    elif isinstance(tree, dict) and any(map(_holds_domain, tree.values())):
        for key, value in tree.items():
            yield from filter(None, _variations(value, (*where, key)))
    else:
        yield {}


def _holds_domain(tree: Any) -> bool:
    return isinstance(tree, Domain) or (isinstance(tree, dict) and any(map(_holds_domain, tree.values())))


def _points(tree: Any, where: Path) -> Iterator[dict[Path, int]]:
    """The points of the grids in `tree`: the number of the option that each grid stands at, by the grids' places."""
    if isinstance(tree, Grid):
        for number, (below, value) in enumerate(tree.probes()):
            yield from ({where: number, **inner} for inner in _points(value, where + below))
    elif isinstance(tree, dict):
        for parts in itertools.product(*(_points(value, (*where, key)) for key, value in tree.items())):
            yield {at: number for part in parts for at, number in part.items()}
    else:
        yield {}


def _draws(spec: "SweepSpec", base: dict[str, Any], point: dict[Path, int]) -> Iterator[Candidate]:
    """Different configurations at one point of the grids: `trials` of them, or as many as there are."""
    wanted = min(spec.trials, _size(spec.search, ("search",), point))
    seen, repeats = set(), 0
    for draw in itertools.count():
        if len(seen) >= wanted or repeats == MOST_REPEATS:
            return
        found = assemble(base, spec.search, lambda domain, where, draw=draw: _drawn(spec, domain, where, draw, point))
        repeats += 1
        if _identity(found) not in seen:
            seen.add(_identity(found))
            repeats = 0
            yield found


def _drawn(spec: "SweepSpec", domain: Domain, where: Path, draw: int, point: dict[Path, int]) -> Pick:
    if where in point:
        return domain.probes()[point[where]]
    return domain.sample(np.random.default_rng([spec.search_seed, draw, zlib.crc32(show_path(where).encode())]))


def _identity(candidate: Candidate) -> str:
    return json.dumps(candidate.config, sort_keys=True)


def _size(tree: Any, where: Path, point: dict[Path, int]) -> float:
    """How many configurations `tree` holds at one point of its grids, if no two options are alike."""
    if isinstance(tree, Grid):
        below, value = tree.probes()[point[where]]
        return _size(value, where + below, point)
    if isinstance(tree, Choice):
        return sum(_size(value, where + below, point) for below, value in tree.probes())
    if isinstance(tree, Domain):
        return tree.size()
    return math.prod(_size(tree[key], (*where, key), point) for key in tree) if isinstance(tree, dict) else 1
