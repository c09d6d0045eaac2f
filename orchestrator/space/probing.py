"""Finds by trying what a search can reach: each probe of each domain, and whether a `when` can hold at all.

A probe is an option of a domain, or an end of its range (`Domain.probes`).
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.space.assembly import Candidate, Odometer, assemble, every
from orchestrator.space.entries import ABSENT, Entry, in_order, meets, needed_by, value_at
from orchestrator.spec.diagnostics import KeyPath, cure, read_path, show_path, show_value
from orchestrator.spec.domains import Domain, Pick, Search, Walked, domains_in, one_of, wanted_values

MOST_TRIED = 10_000  # combinations of options, after which a `when` is assumed to hold for some


def probing(base: dict[str, Any], search: Search, unknown: Collection[str] = ()) -> Iterator[tuple[str, Candidate]]:
    """Pairs of an entry's key and a candidate, which together take each probe of each domain of each entry.

    The other domains take their first probe or, if the entry has a `when`, the first picks with which that holds.
    Entries whose keys are in `unknown`, which may grow meanwhile, are left out of the candidates of others: with them
    every candidate would be refused.
    """
    ordered = known = in_order(search)
    own = {entry.key: entry for entry in ordered}
    for key, domain in search.items():
        others = Reach(base, ordered, key).active_with or {} if domain.when else {}
        for chosen in _variations(domain, ("search", key)):
            if len(known) + len(unknown) > len(ordered):
                known = [entry for entry in known if entry.key not in unknown]
            applied = [*known, own[key]] if key in unknown else known
            yield key, assemble(base, applied, _picker(chosen, others))


def _picker(chosen: dict[KeyPath, int], others: dict[KeyPath, Pick]) -> Callable[[Domain, KeyPath], Pick]:
    def pick(domain: Domain, where: KeyPath) -> Pick:
        if where in others and where not in chosen:
            return others[where]
        return domain.probes()[chosen.get(where, 0)]

    return pick


def _variations(tree: Any, where: KeyPath) -> Iterator[dict[KeyPath, int]]:
    """Probe numbers by the domains' places, which together take all probes of all domains of `tree`, one at a time."""
    if isinstance(tree, Domain):
        for number, (below, value) in enumerate(tree.probes()):
            yield from ({where: number, **inner} for inner in _variations(value, where + below))
    elif any(domains_in(tree)):
        for key, value in tree.items():
            yield from filter(None, _variations(value, (*where, key)))
    else:
        yield {}


def idle(base: dict[str, Any], search: Search) -> Iterator[tuple[KeyPath, str]]:
    """Mistakes in each `when` of a search without circles: (place in the spec, what is wrong and its cure)."""
    ordered = in_order(search)
    for key, domain in search.items():
        if not domain.when:
            continue
        reach, place = Reach(base, ordered, key), ("search", key, "when")
        if reach.active_with is None and not reach.cut:
            told = list(reach.never_met())
            yield from told or [(place, "can never hold: no choice of values meets all of it.")]
        elif reach.left_to_chance():
            what = "makes how often a grid is walked through a matter of chance"
            yield place, f"{what}. Make the grid a 'choice', or what it depends on a 'grid'."


@dataclass
class Seen:
    """What the candidates hold at the path of a condition."""

    values: list[Any] = field(default_factory=list)
    known: set[str] = field(default_factory=set)  # the same, as JSON
    deepest: int = 0  # the most steps of the path that exist in a candidate
    beside: dict[str, None] = field(default_factory=dict)  # the keys at that depth


class Reach:
    """Tries all options of the entries that one entry depends on, and notes where its `when` holds.

    `active_with` are the first picks with which it holds, None if there are none; `cut`: not all were tried.
    """

    def __init__(self, base: dict[str, Any], ordered: list[Entry], key: str):
        self.key, self.when = key, next(entry.domain.when for entry in ordered if entry.key == key)
        self.entries = needed_by(key, ordered)
        self.active_with: dict[KeyPath, Pick] | None = None
        self.seen = {path: Seen() for path in self.when}
        self.by_grids: dict[frozenset, set[bool]] = {}  # options of the other grids -> whether the entry was active
        self.cut = False
        self.options: dict[KeyPath, list[Pick]] = {}  # of each domain, by its place
        self._try_all(base)

    def left_to_chance(self) -> bool:
        """Whether the entry is a grid that is sometimes active and sometimes not at one point of the other grids."""
        grid = any(isinstance(entry.domain, Walked) for entry in self.entries if entry.key == self.key)
        return grid and any(len(found) > 1 for found in self.by_grids.values())

    def never_met(self) -> Iterator[tuple[KeyPath, str]]:
        """The conditions that no combination meets, each by itself."""
        for path, wanted in self.when.items():
            seen = self.seen[path]
            if not any(meets(one_of(wanted), value) for value in seen.values):
                yield ("search", self.key, "when", path), _why_never(read_path(path), wanted, seen)

    def _try_all(self, base: dict[str, Any]) -> None:
        odometer = Odometer(self._options)
        for tried, candidate in enumerate(every(base, self.entries, odometer)):
            if tried == MOST_TRIED:
                self.cut = True
                return
            active = ("search", self.key) in odometer.picks or ("search", self.key) in candidate.blocked
            if active and self.active_with is None:
                self.active_with = odometer.picks
            self.by_grids.setdefault(self._grids(odometer), set()).add(active)
            for path, seen in self.seen.items():
                _look(candidate.values, read_path(path), seen)

    def _options(self, domain: Domain, where: KeyPath) -> list[Pick]:
        if where not in self.options:
            self.options[where] = self._options_of(domain, where)
        return self.options[where]

    def _options_of(self, domain: Domain, where: KeyPath) -> list[Pick]:
        """All values that may matter to a `when`; of the entry's own domains only the first probe."""
        if where[:2] == ("search", self.key):
            return [domain.probes()[0]]
        conditions = (wanted for entry in self.entries for wanted in entry.domain.when.values())
        asked = (value for wanted in conditions for value in wanted_values(wanted))
        return [*domain.probes(), *(Pick((), value) for value in asked if domain.takes(value))]

    def _grids(self, odometer: Odometer) -> frozenset:
        """The current options of all grids except the entry's own."""
        return frozenset(
            (where, odometer.picks[where].below)
            for where, domain in odometer.domains.items()
            if isinstance(domain, Walked) and where[:2] != ("search", self.key)
        )


def _look(values: dict[str, Any], path: KeyPath, seen: Seen) -> None:
    """Note the value that a run has at a path, or how far the path exists."""
    found = value_at(values, path)
    if found is not ABSENT:
        if (told := json.dumps(found, sort_keys=True)) not in seen.known:
            seen.known.add(told)
            seen.values.append(found)
        return
    depth = next(depth for depth in itertools.count() if value_at(values, path[: depth + 1]) is ABSENT)
    around = value_at(values, path[:depth])
    if depth > seen.deepest:
        seen.deepest, seen.beside = depth, {}
    if depth == seen.deepest and isinstance(around, dict):
        seen.beside |= dict.fromkeys(around)


def _why_never(path: KeyPath, wanted: Any, seen: Seen) -> str:
    if seen.values:
        words = [value for value in seen.values if isinstance(value, str)]
        wrong = wanted_values(wanted)[0]
        known = cure(wrong, words) if words else f"Values there: {', '.join(map(show_value, seen.values))}."
        return f"can never hold: nothing there is {show_value(wrong)}. {known}"
    if not seen.beside:
        return f"leads into {show_path(path[: seen.deepest])}, which is no mapping."
    step = path[seen.deepest]
    return f"leads nowhere: there is no '{step}'. {cure(step, seen.beside)}"
