"""Groups configurations: by their data, and into curves along a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.figures.trained import Configuration, Values, title_of, without


@dataclass(frozen=True)
class Group:
    """Configurations that differ in one number alone, in the order of that number."""

    title: str
    """What they share."""
    along: str | None
    """The path of the number; None for a configuration of its own."""
    members: Sequence[Configuration]


def by_data(configurations: Sequence[Configuration]) -> dict[str, list[Configuration]]:
    """Configurations by their data set, described by its fields that differ."""
    groups: dict[str, list[Configuration]] = {}
    for one in configurations:
        own = {path: value for path, value in one.values.items() if path.partition(".")[0] == "data"}
        groups.setdefault(title_of(own) or one.best.run.data.name, []).append(one)
    return groups


def groups_of(configurations: Sequence[Configuration]) -> list[Group]:
    """Groups by all values of a configuration but one number: of those that vary, the one with the most values."""
    families: dict[str, list[Configuration]] = {}
    for one in configurations:
        words = {path: value for path, value in without(one.values, "data").items() if not _is_number(value)}
        families.setdefault(repr(words), []).append(one)
    return [group for family in families.values() for group in _within(family)]


def _within(family: Sequence[Configuration]) -> list[Group]:
    paths = dict.fromkeys(path for one in family for path in without(one.values, "data"))
    counts = {path: len({one.values.get(path) for one in family}) for path in paths if _numbers(family, path)}
    along = max(counts, key=counts.get) if counts and max(counts.values()) > 1 else None
    constant = [path for path, count in counts.items() if count == 1]
    groups: dict[str, list[Configuration]] = {}
    for one in family:
        shared = without(one.values, "data", *constant, *([along] if along else []))
        groups.setdefault(title_of(shared) or one.best.run.method.name, []).append(one)
    return [
        Group(title, along, sorted(own, key=lambda one: _place(one.values, along))) for title, own in groups.items()
    ]


def _numbers(family: Sequence[Configuration], path: str) -> bool:
    return all(_is_number(one.values.get(path)) for one in family)


def _place(values: Values, along: str | None) -> float:
    return values[along] if along else 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
