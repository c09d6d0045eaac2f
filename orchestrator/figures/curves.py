"""Figures of numbers: what `evaluate` measured, or training recorded, as curves over configurations, sizes or epochs.

Numbers of several seeds are drawn as their mean, with the standard deviation (of the population) as error.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence

from orchestrator.errors import UserError
from orchestrator.figures.base import Kind, require, tried
from orchestrator.figures.grouping import Group, by_data, groups_of
from orchestrator.figures.panels import Curve, Drawing, Plot
from orchestrator.figures.trained import Configuration, Model, Trained
from orchestrator.reporting.comparison import Comparison, compare
from trainables.common.lazy import LazyModule

axes = LazyModule("trainables.figures.axes")

DISTANCES = ("frechet_intel", "frechet", "frechet_ard")
"""Evaluations whose distance may be drawn; the first that was measured is."""
METRICS_OF_FID_HOYER = ("hoyer", DISTANCES[0])
FOREST = re.compile(r"forest_(\d+)")
OTHER_SAMPLES = ("_relevant", "_all")  # values of samples that the method does not draw by itself


class FidHoyer(Kind):
    """The Frechet distance of samples against the sparsity of latents, a curve for each method along its weight."""

    name = "fid-hoyer"
    papers = "Intel 7 (left), C.3 (left)"

    def panels(self, trained: Trained) -> Drawing:
        panels, notes = [], []
        for data, own in by_data(trained.configurations).items():
            found = compared(own)
            distance = next(_distances(found), None)
            if "hoyer" not in found.rows or distance is None:
                raise unknown(trained, found, f"Hoyer's sparsity or a Frechet distance on {data}", METRICS_OF_FID_HOYER)
            sparsity, distances = _numbers(found, own, "hoyer"), _numbers(found, own, distance)
            known = [one for one in own if one.key in sparsity and one.key in distances]
            curves = [_along(group, sparsity, distances) for group in groups_of(known)]
            panels.append(Plot(data, curves, "sparsity (Hoyer)", f"{distance} of samples"))
            notes += [*found.missing, *_lacking(own, known, data)]
        return Drawing(panels, len(panels), notes)


class Accuracy(Kind):
    """Accuracy of random forests on the representation against the number of training rows."""

    name = "accuracy"
    papers = "Intel 7 (right), C.3 (right)"

    def panels(self, trained: Trained) -> Drawing:
        panels, notes = [], []
        for data, own in by_data(trained.configurations).items():
            found = compared(own)
            sizes = {int(size[1]): name for name in found.rows if (size := FOREST.fullmatch(name))}
            if not sizes:
                raise unknown(trained, found, f"the accuracy of forests on {data}", ("forest",))
            by_size = {size: _numbers(found, own, sizes[size]) for size in sorted(sizes)}
            known = [one for one in own if any(one.key in numbers for numbers in by_size.values())]
            curves = []
            for one in known:
                points = {size: numbers[one.key] for size, numbers in by_size.items() if one.key in numbers}
                curves.append(curve_of(one.title_without("data"), list(points), list(points.values())))
            panels.append(Plot(data, curves, "training rows", "accuracy", x_scale="log"))
            notes += [*found.missing, *_lacking(own, known, data)]
        return Drawing(panels, len(panels), notes)


class VarianceEpochs(Kind):
    """The smallest and the largest variance of ARD-VAE's prior after each epoch, for each size of the latent space."""

    name = "variance-epochs"
    papers = "ARD 1b, S1"

    def unfit(self, model: Model) -> str:
        return "" if "val/variance_max" in model.run.metric_names() else "no model of it estimates variances (ard_vae)"

    def panels(self, trained: Trained) -> Drawing:
        panels = []
        for data, own in by_data(trained.configurations).items():
            curves = []
            for one in own:
                history = one.best.history()
                epochs = [line["epoch"] for line in history]
                for end in ("max", "min"):
                    values = [line[f"val/variance_{end}"] for line in history]
                    curves.append(Curve(f"{one.title_without('data')} {end}", epochs, values))
            panels.append(Plot(data, curves, "epoch", "variance of an axis, $b/a$", y_scale="log"))
        return Drawing(panels, min(3, len(panels)))


class RelevanceProfile(Kind):
    """The variance and the relevance score of each latent axis, the most relevant first, for each configuration."""

    name = "relevance"
    papers = "ARD 1a"

    def panels(self, trained: Trained) -> Drawing:
        panels, notes = [], []
        for data, own in by_data(trained.configurations).items():
            curves: dict[str, list[Curve]] = {"variance": [], "relevance score": []}
            for one in own:
                if (found := tried(one, axes.profile, notes)) is None:
                    continue
                order = (-found.score_L).argsort(kind="stable")
                places = list(range(1, len(order) + 1))
                for what, values_L in (("variance", found.variance_L), ("relevance score", found.score_L)):
                    curves[what].append(Curve(one.title_without("data"), places, values_L[order].tolist()))
            panels += [
                Plot(f"{data}: {what}", own_curves, "axes, most relevant first", what)
                for what, own_curves in curves.items()
                if own_curves
            ]
        require(panels, notes)
        return Drawing(panels, 2, notes)


def compared(own: Sequence[Configuration]) -> Comparison:
    """What was measured of all models of some configurations."""
    return compare([model.evaluated(one.key) for one in own for model in one.models])


def unknown(trained: Trained, found: Comparison, what: str, metrics: Sequence[str]) -> UserError:
    """The error for numbers that a figure plots and that are not known: why, or else how to measure them."""
    return (
        UserError(f"{trained.name}: {what}: {' '.join(found.missing)}")
        if found.missing
        else trained.unmeasured(what, metrics)
    )


def _numbers(found: Comparison, own: Sequence[Configuration], value: str) -> dict[str, list[float]]:
    """Key of a configuration -> the numbers of its models, for those that have any."""
    numbers = found.rows[value].numbers
    return {one.key: list(numbers[one.key].values()) for one in own if numbers.get(one.key)}


def _distances(found: Comparison) -> Iterator[str]:
    """The measured distances of the method's own samples, in the order of DISTANCES."""
    own = {name: row.metric for name, row in found.rows.items() if not name.endswith(OTHER_SAMPLES)}
    return (name for metric in DISTANCES for name, of in own.items() if of == metric)


def _along(group: Group, x: dict[str, list[float]], y: dict[str, list[float]]) -> Curve:
    """A group's curve through the means of two numbers."""
    keys = [one.key for one in group.members]
    return curve_of(group.title, [statistics.fmean(x[key]) for key in keys], [y[key] for key in keys])


def curve_of(label: str, x: Sequence[float], numbers: Sequence[Sequence[float]]) -> Curve:
    """Means of several numbers for each x, with their standard deviations where there are several."""
    y = [statistics.fmean(some) for some in numbers]
    error = [statistics.pstdev(some) for some in numbers] if any(len(some) > 1 for some in numbers) else ()
    return Curve(label, x, y, error)


def _lacking(own: Sequence[Configuration], known: Sequence[Configuration], data: str) -> list[str]:
    lacking = len(own) - len(known)
    return [f"{data}: {lacking} of {len(own)} configurations were not measured."] if lacking else []
