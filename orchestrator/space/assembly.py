"""Makes the values of a run from a search: puts one value of each active domain into its place.

`assemble` makes one candidate, `every` one for each combination of options.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from orchestrator.space.entries import Entry, value_at
from orchestrator.spec.diagnostics import KeyPath, show_path
from orchestrator.spec.domains import Domain, Pick, Zip
from orchestrator.spec.yaml_file import put
from trainables.run import Run

Picker = Callable[[Domain, KeyPath], Pick]
"""Chooses one value of a domain; the path is the domain's place in the spec."""

Options = Callable[[Domain, KeyPath], Sequence[Pick]]
"""The values of a domain to try, at least one."""


class Origin(NamedTuple):
    """Where in the spec a value of a run comes from."""

    domain: KeyPath
    value: KeyPath  # the option, or the end of a range, within the domain


@dataclass(frozen=True)
class Candidate:
    """Values for a Run, one value of each active domain among them."""

    values: dict[str, Any]
    config: dict[str, Any]  # what varies: path -> value, in the order in which it was applied
    origins: dict[KeyPath, Origin]  # path in the run -> where its value comes from
    blocked: dict[KeyPath, KeyPath]  # place of an entry -> the plain value on its path, into which nothing can be put

    @cached_property
    def run(self) -> Run:
        """The Run, built at the first access. Raises pydantic's ValidationError."""
        return build(self.values)

    @cached_property
    def complete(self) -> dict[str, Any]:
        """The run as plain values, all defaults written out. Raises pydantic's ValidationError."""
        return self.run.model_dump(mode="json")


def build(values: dict[str, Any]) -> Run:
    """A Run from plain values, in which lists stand for tuples. Raises pydantic's ValidationError."""
    return Run.model_validate_json(json.dumps(values))


def copied(tree: Any) -> Any:
    """A copy of plain values: changes to it do not affect the original."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return list(map(copied, tree)) if isinstance(tree, list) else tree


def assemble(base: dict[str, Any], ordered: list[Entry], pick: Picker) -> Candidate:
    """The values of `base` with one value of each active domain put in. `pick` is not called for inactive ones."""
    made = Candidate(copied(base), {}, {}, {})
    put_in = []
    for entry in ordered:
        where = ("search", entry.key)
        plain = next(filter(None, (_plain_value(made.values, at) for at in entry.paths)), None)
        if not entry.active(made.values):
            continue
        if plain:
            made.blocked[where] = plain
            continue
        for at, value in _rendered(entry, pick, made.origins):
            made.origins.update(dict.fromkeys(put(made.values, at, value), Origin(where, where)))
            put_in.append(at)
    for at in put_in:
        made.config.update(_flat(show_path(at), value_at(made.values, at)))
    return made


class Odometer:
    """Picks one combination of options after the other; of the domains asked for, the last changes fastest."""

    def __init__(self, options: Options):
        self.options = options
        self.numbers: list[int] = []  # of each domain's current option, in the order of asking
        self.counts: list[int] = []
        self.picks: dict[KeyPath, Pick] = {}  # by the domains' places
        self.domains: dict[KeyPath, Domain] = {}

    def pick(self, domain: Domain, where: KeyPath) -> Pick:
        known = self.options(domain, where)
        if len(self.counts) == len(self.numbers):
            self.numbers.append(0)
        self.picks[where] = known[self.numbers[len(self.counts)]]
        self.domains[where] = domain
        self.counts.append(len(known))
        return self.picks[where]

    def turn(self) -> bool:
        """Step to the next combination. False if there is none."""
        while self.counts and self.numbers[-1] + 1 == self.counts[-1]:
            self.numbers.pop()
            self.counts.pop()
        if not self.counts:
            return False
        self.numbers[-1] += 1
        self.counts, self.picks, self.domains = [], {}, {}
        return True


def every(base: dict[str, Any], ordered: list[Entry], odometer: Odometer) -> Iterator[Candidate]:
    """A candidate for each combination of options; a domain multiplies their number only where it is active."""
    yield assemble(base, ordered, odometer.pick)
    while odometer.turn():
        yield assemble(base, ordered, odometer.pick)


def _rendered(entry: Entry, pick: Picker, origins: dict[KeyPath, Origin]) -> list[tuple[KeyPath, Any]]:
    """Each path of an entry with its value."""
    where = ("search", entry.key)
    if not isinstance(entry.domain, Zip):
        return [(at, _render(entry.domain, pick, at, where, origins)) for at in entry.paths]
    below, row = pick(entry.domain, where)
    made = []
    for at, (column, value) in zip(entry.paths, row.items(), strict=True):
        origins[at] = Origin(where, where + (*below, column))
        made.append((at, _render(value, pick, at, where + (*below, column), origins)))
    return made


def _render(tree: Any, pick: Picker, at: KeyPath, where: KeyPath, origins: dict[KeyPath, Origin]) -> Any:
    """`tree` with a value in place of each domain; `at` is its path in the run, `where` its path in the spec."""
    if isinstance(tree, Domain):
        below, value = pick(tree, where)
        origins[at] = Origin(where, where + below)
        return _render(value, pick, at, where + below, origins)
    if isinstance(tree, dict):
        return {key: _render(value, pick, (*at, key), (*where, key), origins) for key, value in tree.items()}
    return copied(tree)


def _plain_value(values: Any, at: KeyPath) -> KeyPath | None:
    """The path of the first value on the way to `at` that is not a mapping, if there is one."""
    for depth, step in enumerate(at[:-1], start=1):
        values = values.get(step)
        if not isinstance(values, dict):
            return None if values is None else at[:depth]
    return None


def _flat(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {inner: leaf for key in value for inner, leaf in _flat(f"{path}.{key}", value[key]).items()}
