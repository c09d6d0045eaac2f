"""Sets two sweeps side by side: each configuration that both have, value by value, judged as a paper's numbers are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.errors import UserError
from orchestrator.reporting import tables
from orchestrator.reporting.paper_tables import NOT_COMPARABLE, Training
from orchestrator.reporting.verdicts import RULE, Sample, Verdict, judge
from orchestrator.storage.evaluations_file import provenance_of
from orchestrator.text import identity, show, told_apart
from trainables.metrics.provenance import differences
from trainables.values import value_named

HEADER = ("configuration", "value")


@dataclass(frozen=True)
class Pair:
    """A value of one configuration in two sweeps; a side is None where it was not measured."""

    configuration: str
    value: str
    sides: tuple[Sample | None, Sample | None]
    verdict: Verdict | None
    """None where a side is missing or the numbers were made in different ways."""
    why: str

    @property
    def word(self) -> str:
        if self.verdict:
            return self.verdict.word
        return NOT_COMPARABLE if all(self.sides) else ""


@dataclass(frozen=True)
class SideBySide:
    """Two sweeps: their names, what they have in common, and what only one of them has."""

    names: tuple[str, str]
    pairs: list[Pair]
    alone: list[str]


def side_by_side(names: tuple[str, str], sweeps: tuple[list[Training], list[Training]]) -> SideBySide:
    """Compare the configurations that two sweeps share. Raises UserError where there is none, or nothing was measured.

    Configurations are the same where they have the same values in what varies within the sweeps: what else differs
    between the sweeps, such as the network, is what is compared. A sweep in which nothing varies has one.
    """
    left, right = map(_by_configuration, sweeps)
    shared = [key for key in left if key in right]
    labels = _labels(left, right)
    if not shared:
        raise UserError(f"{names[0]} and {names[1]} have no configuration in common: nothing to compare.")
    pairs = [pair for key in shared for pair in _pairs(labels[key], left[key], right[key])]
    if not pairs:
        raise UserError(f"nothing was measured in both yet: vaeorch evaluate {names[0]}; vaeorch evaluate {names[1]}")
    alone = [
        f"only in {name}: {labels[key] or 'its configuration'}"
        for name, mine, other in zip(names, (left, right), (right, left), strict=True)
        for key in mine
        if key not in other
    ]
    return SideBySide(names, pairs, alone)


def _by_configuration(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    found: dict[str, list[Training]] = {}
    for training in trainings:
        found.setdefault(identity(training.config), []).append(training)
    return found


def _labels(*sides: dict[str, list[Training]]) -> dict[str, str]:
    """How each configuration is shown."""
    configs = {key: trainings[0].config for side in reversed(sides) for key, trainings in side.items()}
    paths = dict.fromkeys(path for side in sides for key in side for path in configs[key])
    ordered = [{path: config[path] for path in paths if path in config} for config in configs.values()]
    return dict(zip(configs, told_apart(ordered), strict=True))


def _pairs(label: str, left: list[Training], right: list[Training]) -> list[Pair]:
    names = dict.fromkeys(name for one in (*left, *right) for finding in one.findings for name in finding["values"])
    made = (_pair(label, name, left, right) for name in names)
    return [pair for pair in made if any(pair.sides)]


def _pair(label: str, name: str, left: list[Training], right: list[Training]) -> Pair:
    having = [[(one, finding) for one in side if (finding := one.finding(name))] for side in (left, right)]
    samples = tuple(Sample.of([found["values"][name] for _, found in side]) if side else None for side in having)
    if not all(samples):
        return Pair(label, name, samples, None, "measured in one of them only")
    ways = [provenance_of(found) for side in having for _, found in side]
    unlike = dict.fromkeys(line for way in ways[1:] for line in differences(ways[0], way))
    why = "; ".join([*unlike, *_unlike_trainings(*([one for one, _ in side] for side in having))])
    known = value_named(name)
    verdict = None if why else judge(*samples, known.kind.better if known else None)
    return Pair(label, name, samples, verdict, why or (verdict.basis if verdict else ""))


def _unlike_trainings(*sides: list[Training]) -> list[str]:
    """How trainings diverged, or were cut short where those of the other side were not; and their models' epochs."""
    cuts = [{one.cut_short for one in side} for side in sides]
    epochs = [{one.of for one in side} for side in sides]
    other = [] if epochs[0] == epochs[1] else [f"models of the {' and the '.join(map(min, epochs))} epoch"]
    if cuts[0] == cuts[1] and all(one.is_sound for side in sides for one in side):
        return other
    return other + [
        f"{which}: {cut}" for which, own in zip(("first", "second"), cuts, strict=True) for cut in sorted(own - {""})
    ]


def _cell(sample: Sample | None) -> str:
    if sample is None:
        return "-"
    return show(sample.mean) + (f" ± {show(sample.std)}" if sample.std is not None else "") + f" ({sample.n})"


def _rows(found: SideBySide) -> list[list[str]]:
    return [
        [pair.configuration or "-", pair.value, *map(_cell, pair.sides), " ".join(filter(None, (pair.word, flag)))]
        for pair in found.pairs
        for flag in [f"({pair.why})" if pair.why else ""]
    ]


def as_text(found: SideBySide, width: int) -> str:
    """For a terminal of so many columns."""
    *header, last = [*HEADER, *found.names, "verdict on the first"]
    rows = _rows(found)
    lines = tables.with_texts([*header, last], [row[:-1] for row in rows], [row[-1] for row in rows], width)
    return "\n".join([*lines, *found.alone, RULE]) + "\n"


def as_markdown(found: SideBySide, width: int) -> str:
    grid = tables.as_markdown([*HEADER, *found.names, "verdict on the first"], _rows(found))
    return "\n".join([grid, *(f"- {line}" for line in (*found.alone, RULE))]) + "\n"


def as_csv(found: SideBySide, width: int) -> str:
    """A line for each value of a configuration. The interval is of the first sweep's mean minus the second's."""
    sides = [f"{name}{part}" for name in found.names for part in ("", "_std", "_n")]
    rows = [
        [
            *(pair.configuration, pair.value),
            *(part for side in pair.sides for part in ((side.mean, side.std, side.n) if side else ("", "", ""))),
            *((pair.verdict.low, pair.verdict.high) if pair.verdict else ("", "")),
            *(pair.word, pair.why),
        ]
        for pair in found.pairs
    ]
    return tables.as_csv([*HEADER, *sides, "low", "high", "verdict", "remark"], rows)


FORMATS: dict[str, Callable[[SideBySide, int], str]] = {
    "terminal": as_text,
    "markdown": as_markdown,
    "csv": as_csv,
}
