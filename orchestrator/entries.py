"""The entries of a search: the paths that each sets, whether it is active, and the order in which they are applied.

An entry comes after those that it builds on: those that set something above one of its paths (`method` before
`method.beta`), and those that set something its `when` looks at.
"""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from orchestrator.domains import Domain, Zip
from orchestrator.mistakes import Path, read_path

Search = dict[str, Domain]
"""What varies: key -> domain. A key is a path relative to `run`; that of a zip is several, with commas between."""


class Entry(NamedTuple):
    """One entry of a search."""

    key: str
    paths: tuple[Path, ...]
    domain: Domain

    def active(self, values: dict[str, Any]) -> bool:
        """Whether the `when` holds in the values of a run."""
        return all(meets(wanted, value_at(values, path)) for path, wanted in self.domain.conditions)

    def builds_on(self, other: "Entry") -> bool:
        """Whether `other` must be applied before this one."""
        if any(_overlap(one, path) for path, _ in self.domain.conditions for one in other.paths):
            return True
        above = any(len(one) < len(path) and _overlap(one, path) for path in self.paths for one in other.paths)
        return above and other.key != self.key


class Circle(Exception):
    """Entries that wait for each other; its arguments are their keys."""


ABSENT = object()
"""Stands for the value at a path that a run has not."""


def value_at(values: Any, path: Path) -> Any:
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


def paths_of(key: str) -> list[str]:
    """The paths that an entry's key names."""
    return [path.strip() for path in key.split(",")]


def in_order(search: Search) -> list[Entry]:
    """The entries as they are applied: in the user's order, but each after those it builds on. Raises Circle."""
    entries = [Entry(key, tuple(map(read_path, paths_of(key))), domain) for key, domain in search.items()]
    ordered: list[Entry] = []

    def visit(entry: Entry, waiting: tuple[str, ...]) -> None:
        if entry.key in waiting:
            raise Circle(*waiting[waiting.index(entry.key) :])
        if entry not in ordered:
            for other in entries:
                if entry.builds_on(other):
                    visit(other, (*waiting, entry.key))
            ordered.append(entry)

    for entry in entries:
        visit(entry, ())
    return ordered


def needed_by(key: str, ordered: list[Entry]) -> list[Entry]:
    """The entry with this key and all those that it builds on, in order."""
    needed = {key}
    for entry in reversed(ordered):
        if entry.key in needed:
            needed |= {other.key for other in ordered if entry.builds_on(other)}
    return [entry for entry in ordered if entry.key in needed]


def mistakes(search: Search) -> Iterator[tuple[Path, str]]:
    """What is wrong with the entries as such, whatever the run: (place in the spec, what and its cure)."""
    first: dict[str, str] = {}  # path -> the key where it was first
    for key, domain in search.items():
        yield from _shape(key, domain)
        for path in paths_of(key):
            if path in first:
                both = "twice in it" if first[path] == key else f"also set by '{first[path]}'"
                yield ("search", key), f"'{path}' is {both}. Remove one."
            first.setdefault(path, key)
    yield from _circles(search)


def _shape(key: str, domain: Domain) -> Iterator[tuple[Path, str]]:
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


def _circles(search: Search) -> Iterator[tuple[Path, str]]:
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


def _overlap(one: Path, other: Path) -> bool:
    """Whether a value at one path holds, or is held by, that at the other."""
    depth = min(len(one), len(other))
    return one[:depth] == other[:depth]
