"""The figure of single attributes: how well each is predicted from representations of several sizes."""

from __future__ import annotations

import statistics
from collections import defaultdict

from orchestrator.figures.base import Kind
from orchestrator.figures.curves import compared, curve_of, unknown
from orchestrator.figures.grouping import Group, groups_of
from orchestrator.figures.panels import Curve, Drawing, Plot
from orchestrator.figures.trained import Configuration, Trained

METRIC, TABLE = "attributes", "attributes.csv"
MOST_ATTRIBUTES = 6
ALL = "all attributes"
MAJORITY = "most frequent value"

Accuracies = dict[tuple[str, int], list[float]]
"""(attribute, number of training rows) -> the accuracy of each model of a configuration."""


class AttributeAccuracy(Kind):
    """Accuracy for single attributes against the size of the latent space, for several numbers of training rows.

    A row for each attribute, a column for each number of training rows. Methods of one size are level lines. Shows the
    mean of all attributes, and those that are predicted best in comparison with their most frequent value.
    """

    name = "attribute-accuracy"
    papers = "Intel B.3"

    def panels(self, trained: Trained) -> Drawing:
        found = compared(trained.configurations)
        if not any(row.metric == METRIC for row in found.rows.values()):
            raise unknown(trained, found, "the accuracy for attributes", (METRIC,))
        by_key, majority = {}, {}
        for one in trained.configurations:
            by_key[one.key], known = _accuracies(one)
            majority |= known
        known = [one for one in trained.configurations if by_key[one.key]]
        if not known:
            raise trained.unmeasured("the accuracy for single attributes", [METRIC])
        sizes = sorted({size for of in by_key.values() for _, size in of})
        names = [ALL, *_best(by_key, majority, sizes[-1])]
        spans = {one.best.run.network.latent_dim for one in known}
        groups = groups_of(known)
        panels = [
            Plot(
                f"{name}, {size} training rows",
                [
                    *(_curve(group, by_key, (name, size), spans) for group in groups),
                    *_level(majority.get(name), spans),
                ],
                "latent dimensions",
                "accuracy",
                x_scale="log",
            )
            for name in names
            for size in sizes
        ]
        return Drawing(panels, len(sizes))


def _accuracies(one: Configuration) -> tuple[Accuracies, dict[str, float]]:
    """The accuracies of a configuration's models, and the accuracy of the most frequent value of each attribute."""
    found, majority = defaultdict(list), {}
    for model in one.models:
        of_model = defaultdict(list)
        for row in model.table(METRIC, TABLE) or ():
            found[row["attribute"], int(row["size"])].append(float(row["accuracy"]))
            of_model[int(row["size"])].append(float(row["accuracy"]))
            majority[row["attribute"]] = float(row["majority"])
        for size, values in of_model.items():
            found[ALL, size].append(statistics.fmean(values))
    if majority:
        majority[ALL] = statistics.fmean(majority.values())
    return dict(found), majority


def _best(by_key: dict[str, Accuracies], majority: dict[str, float], size: int) -> list[str]:
    """The attributes that are predicted best in comparison with their most frequent value, from `size` rows."""

    def gain(name: str) -> float:
        return max(statistics.fmean(of[name, size]) for of in by_key.values() if (name, size) in of) - majority[name]

    return sorted((name for name in majority if name != ALL), key=gain, reverse=True)[:MOST_ATTRIBUTES]


def _curve(group: Group, by_key: dict[str, Accuracies], place: tuple[str, int], spans: set[int]) -> Curve:
    """Along the latent dimension; a single configuration is a level line over all dimensions."""
    members = [one for one in group.members if place in by_key[one.key]]
    values = [by_key[one.key][place] for one in members]
    if len(group.members) == 1 and values and len(spans) > 1:
        return Curve(group.title, [min(spans), max(spans)], [statistics.fmean(values[0])] * 2, style="level")
    return curve_of(group.title, [one.best.run.network.latent_dim for one in members], values)


def _level(value: float | None, spans: set[int]) -> list[Curve]:
    if value is None or len(spans) < 2:
        return []
    return [Curve(MAJORITY, [min(spans), max(spans)], [value] * 2, style="plain")]
