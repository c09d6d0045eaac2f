"""Groups configurations: by their data, and into curves along a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.figures.trained import Configuration, Values, title_of, without
from orchestrator.text import identity, told_apart


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

    def of_data(one: Configuration) -> Values:
        return {path: value for path, value in one.values.items() if path.partition(".")[0] == "data"}

    return {title or own[0].best.run.data.name: own for title, own in _alike(configurations, of_data)}


def groups_of(configurations: Sequence[Configuration]) -> list[Group]:
    """Groups by all values of a configuration but one number: of those that vary, the one with the most values."""
    families: dict[str, list[Configuration]] = {}
    for one in configurations:
        words = {path: value for path, value in without(one.values, "data").items() if not _is_number(value)}
        families.setdefault(identity(words), []).append(one)
    return [group for family in families.values() for group in _within(family)]


def _within(family: Sequence[Configuration]) -> list[Group]:
    paths = dict.fromkeys(path for one in family for path in without(one.values, "data"))
    counts = {path: len({one.values.get(path) for one in family}) for path in paths if _numbers(family, path)}
    along = max(counts, key=counts.get) if counts and max(counts.values()) > 1 else None
    constant = [path for path, count in counts.items() if count == 1]

    def shared(one: Configuration) -> Values:
        return without(one.values, "data", *constant, *([along] if along else []))

    return [
        Group(title or own[0].best.run.method.name, along, sorted(own, key=lambda one: _place(one.values, along)))
        for title, own in _alike(family, shared)
    ]


def _alike(
    configurations: Sequence[Configuration], part: Callable[[Configuration], Values]
) -> list[tuple[str, list[Configuration]]]:
    """Configurations with the same part of their values, under its title."""
    groups: dict[str, list[Configuration]] = {}
    for one in configurations:
        groups.setdefault(identity(part(one)), []).append(one)
    titles = told_apart([part(own[0]) for own in groups.values()], title_of)
    return list(zip(titles, groups.values(), strict=True))


def _numbers(family: Sequence[Configuration], path: str) -> bool:
    return all(_is_number(one.values.get(path)) for one in family)


def _place(values: Values, along: str | None) -> float:
    return values[along] if along else 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
