"""The entries of a search: the paths that each sets, whether it is active, and the order in which they are applied.

An entry is applied after those that it depends on: those that set something above one of its paths (`method` before
`method.beta`), and those that set something its `when` looks at.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from orchestrator.spec.diagnostics import KeyPath, read_path
from orchestrator.spec.domains import Domain, Search, Zip, paths_of


class Entry(NamedTuple):
    """One entry of a search."""

    key: str
    paths: tuple[KeyPath, ...]
    domain: Domain

    def active(self, values: dict[str, Any]) -> bool:
        """Whether the `when` holds in the values of a run."""
        return all(meets(wanted, value_at(values, path)) for path, wanted in self.domain.conditions)


class Order:
    """Finds, by their paths, the entries that each entry depends on."""

    def __init__(self, entries: Iterable[Entry]):
        self.entries = list(entries)
        self.at: dict[KeyPath, list[int]] = {}  # path -> indices in `entries` of those that set it
        self.below: dict[KeyPath, list[int]] = {}  # path -> indices of those that set something below it
        for number, entry in enumerate(self.entries):
            for path in entry.paths:
                self.at.setdefault(path, []).append(number)
                for depth in range(len(path)):
                    self.below.setdefault(path[:depth], []).append(number)

    def before(self, entry: Entry) -> list[Entry]:
        """The entries that must be applied before this one, in the order of `entries`."""
        found = {number for path in entry.paths for number in self._above(path)}
        found = {number for number in found if self.entries[number].key != entry.key}
        for path, _ in entry.domain.conditions:
            found |= {*self._above(path), *self.at.get(path, ()), *self.below.get(path, ())}
        return [self.entries[number] for number in sorted(found)]

    def _above(self, path: KeyPath) -> Iterator[int]:
        for depth in range(len(path)):
            yield from self.at.get(path[:depth], ())


class Circle(Exception):
    """Entries that depend on each other in a circle; its arguments are their keys."""


ABSENT = object()
"""Marks that a run has no value at a path."""


def value_at(values: Any, path: KeyPath) -> Any:
    """The value at a path, or ABSENT."""
    for step in path:
        if not isinstance(values, dict) or step not in values:
            return ABSENT
        values = values[step]
    return values


def meets(wanted: Collection[Any], value: Any) -> bool:
    """Whether a value is among those that a `when` asks for."""
    try:
        return value in wanted
    except TypeError:  # a mapping or a list is no member of a set
        return False


def in_order(search: Search) -> list[Entry]:
    """The entries in the order of application: the user's, but each after those it depends on. Raises Circle."""
    entries = [Entry(key, tuple(map(read_path, paths_of(key))), domain) for key, domain in search.items()]
    order, ordered = Order(entries), {}

    def visit(entry: Entry, waiting: tuple[str, ...]) -> None:
        if entry.key in waiting:
            raise Circle(*waiting[waiting.index(entry.key) :])
        if entry.key not in ordered:
            for other in order.before(entry):
                visit(other, (*waiting, entry.key))
            ordered[entry.key] = entry

    for entry in entries:
        visit(entry, ())
    return list(ordered.values())


def needed_by(key: str, ordered: list[Entry]) -> list[Entry]:
    """The entry with this key and all those that it depends on, in order."""
    order, needed = Order(ordered), {key}
    for entry in reversed(ordered):
        if entry.key in needed:
            needed |= {other.key for other in order.before(entry)}
    return [entry for entry in ordered if entry.key in needed]


def mistakes(search: Search) -> Iterator[tuple[KeyPath, str]]:
    """Mistakes in the entries themselves, whatever the run: (place in the spec, what is wrong and its cure)."""
    first: dict[str, str] = {}  # path -> the key where it was first
    for key, domain in search.items():
        yield from _shape(key, domain)
        for path in paths_of(key):
            if path in first:
                both = "twice in it" if first[path] == key else f"also set by '{first[path]}'"
                yield ("search", key), f"'{path}' is {both}. Remove one."
            first.setdefault(path, key)
    yield from _circles(search)


def _shape(key: str, domain: Domain) -> Iterator[tuple[KeyPath, str]]:
    """Mistakes in the number of an entry's paths and values."""
    paths = len(paths_of(key))
    if not isinstance(domain, Zip):
        if paths > 1:
            yield ("search", key), f"are {paths} paths. To set them together write {{zip: [[...], [...]]}}."
        return
    if paths == 1:
        yield ("search", key, "zip"), "needs several paths, with commas between, such as 'a.b, c.d'. Or write a grid."
    for index, row in enumerate(domain.zip if paths > 1 else ()):
        if len(row) != paths:
            yield ("search", key, "zip", index), f"has {len(row)} values, but the entry has {paths} paths."


def _circles(search: Search) -> Iterator[tuple[KeyPath, str]]:
    left = dict(search)
    while True:
        try:
            in_order(left)
            return
        except Circle as circle:
            key, *others = circle.args
        then = " waits for ".join(f"'{other}'" for other in (*others, key))
        place = ("search", key, "when") if left[key].when else ("search", key)
        yield place, f"can never be decided: '{key}' waits for {then}. Remove one 'when'."
        del left[key]
